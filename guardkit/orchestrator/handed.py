"""What is written of a turn for the Player, and as its own document."""

import re
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from guardkit.orchestrator.findings import CoachTurn
from guardkit.orchestrator.repository.trees import of_kind

MAX_ISSUES, MAX_TEXT, MAX_OUTPUT = 20, 500, 4096  # it may be handed on as an argument
MAX_DEPTH = 100  # of lists and objects in the Player's report
BRACKETS = re.compile(rb'"(?:\\.|[^"\\])*"|[][{}]', re.DOTALL)
UNSAID = {"tests_run": False, "tests_passed": None, "implementation_notes": ""}
LISTS = ("tests_written", "concerns", "requirements_addressed", "requirements_remaining")


class Feedback(msgspec.Struct, frozen=True):
    """What the Player is told of its last turn: short, whatever has happened."""

    turn: int
    decision: str
    rationale: str
    issues: Sequence[str]  # the last one may tell how many more there are
    output: str  # the end of what the tests have written; of the Player's, where it has failed


def player_turn(said: bytes, judged: CoachTurn) -> tuple[dict[str, object], str]:
    """Return the Player's document of a turn, with what it has said; and what is wrong with that.

    said: its report, empty where it has left none.
    """
    changes = judged.validation_results.changes
    files = {"files_created": of_kind("A", changes), "files_modified": of_kind("M", changes)}
    known = {**files, "task_id": judged.task_id, "turn": judged.turn}
    player: dict[str, object] = {**dict.fromkeys(LISTS, ()), **UNSAID}
    if not said.strip():
        return player | known, ""
    with suppress(Exception):  # msgspec's: also UnicodeDecodeError
        if _depth(said) <= MAX_DEPTH:  # what can be read may be too deep to be written
            return player | msgspec.json.decode(said, type=dict[str, object]) | known, ""
    return player | known, f"the Player's report of turn {judged.turn} is no JSON object"


def _depth(text: bytes) -> int:
    """Return how deep JSON is nested, at its deepest."""
    depth = deepest = 0
    for token in BRACKETS.findall(text):
        depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(token, 0)
        deepest = max(deepest, depth)
    return deepest


def feedback(judged: CoachTurn) -> Feedback:
    """Return what the Player is told of a turn."""
    issues, more = [issue[:MAX_TEXT] for issue in judged.issues], len(judged.issues) - MAX_ISSUES
    if more > 0:
        issues[MAX_ISSUES:] = [f"and {more} more"]
    found = judged.validation_results
    output = (found.tests or found.player).tail.encode()
    if len(output) > MAX_OUTPUT:  # whole lines, if there are any
        output = output[-MAX_OUTPUT:]
        output = output.partition(b"\n")[2] or output
    text = output.decode(errors="ignore")
    return Feedback(judged.turn, judged.decision, judged.rationale[:MAX_TEXT], issues, text)
