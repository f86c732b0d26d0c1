"""What agents tell by ACP, and what they are permitted."""

import json
from pathlib import Path
from typing import Any

import pytest

from guardkit.orchestrator.agents.endings import Cause
from guardkit.orchestrator.agents.news import Layer
from guardkit.orchestrator.agents.updates import CALLS_MAX, PLACES_MAX, SAID_MAX, Updates
from guardkit.progress.snapshot import Usage

STREAMS = Path(__file__).parents[1] / "streams"
WORKTREE = "/home/u/repo"
ECHO = "echo running tests; sleep 1; echo '2 passed'"
OPTIONS = [
    {"optionId": "always", "kind": "allow_always"},
    {"optionId": "once", "kind": "allow_once"},
    {"optionId": "no", "kind": "reject_once"},
]


def started(*, ask_nothing: bool = False) -> Updates:
    return Updates(WORKTREE, ask_nothing=ask_nothing, before=Usage())


def tool(**told: Any) -> dict[str, Any]:
    return {"sessionUpdate": "tool_call", "toolCallId": "1", **told}


def ask(**told: Any) -> dict[str, Any]:
    return {"toolCall": {"toolCallId": "1", **told}, "options": OPTIONS}


def chunk(said: str, message: str = "1") -> dict[str, Any]:
    content = {"type": "text", "text": said}
    return {"sessionUpdate": "agent_message_chunk", "messageId": message, "content": content}


@pytest.mark.parametrize(
    ("name", "messages", "tokens", "cost_usd"),
    [
        ("acp-claude", ["Edit made.py", f"Bash: {ECHO}"], 525, 0.00334),
        (
            "acp-codex",
            ["Bash: printf 'def f():\\n return 1\\n' > made.py", f"Bash: {ECHO}"],
            360,
            0,
        ),
        ("acp-copilot", ["Edit made.py", f"Bash: {ECHO}"], 360, 0),
        ("acp-gemini", ["Set 2 todo(s)", "Edit made.py", ECHO], 480, 0),
        ("acp-opencode", ["todowrite", "Edit made.py", f"Bash: {ECHO}"], 120, 0),
    ],
)
def test_a_recorded_session_tells_tools_tokens_and_cost(
    name: str, messages: list[str], tokens: int, cost_usd: float
) -> None:
    updates, seen = started(), list[str]()
    began, ended = list[str](), list[str]()
    for line in (STREAMS / f"{name}.jsonl").read_bytes().splitlines():
        recorded = json.loads(line)
        kind, message = recorded["kind"], recorded["msg"]
        if kind == "session/update":
            updates.take(message)
        elif kind == "session/request_permission":
            kinds = {each["kind"]: each["optionId"] for each in message["options"]}
            assert updates.permit(message) == kinds["allow_once"]
        elif kind == "session/prompt":
            updates.finish(message)
        if updates.news.message not in {"", *seen[-1:]}:
            seen.append(updates.news.message)
        began += updates.news.started
        ended += updates.news.ended
    assert [message for message in seen if message in messages] == messages
    assert updates.news.usage == Usage(tokens, cost_usd)
    assert updates.answer == "Done: made.py written, 2 tests pass."
    assert set(began) == set(ended)
    assert updates.failure is None


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"title": "Preparing file", "kind": "edit"}, "Preparing file"),
        ({"kind": "edit", "locations": [{"path": f"{WORKTREE}/a.py"}]}, "Edit a.py"),
        ({"kind": "delete", "rawInput": {"path": "b.py"}}, "Delete b.py"),
        ({"title": "bash", "kind": "execute", "rawInput": {"command": "pytest"}}, "Bash: pytest"),
        ({"title": f"Search {WORKTREE}/src", "kind": "search"}, "Search src"),
        ({"kind": "fetch"}, "fetch"),
        ({}, "a tool"),
    ],
)
def test_a_tool_is_told_by_what_is_known_of_it(told: dict[str, Any], words: str) -> None:
    assert started().take(tool(**told)).message == words


def test_an_update_adds_to_what_is_known() -> None:
    updates = started()
    updates.take(tool(title="write", kind="edit", status="pending", locations=[]))
    news = updates.take(tool(locations=[{"path": f"{WORKTREE}/a.py"}], status="in_progress"))
    assert (news.layer, news.message, news.started) == (Layer.TOOL, "Edit a.py", ())
    news = updates.take(tool(status="completed", title="a.py"))
    assert (news.layer, news.ended) == (Layer.THINKS, ("1",))


@pytest.mark.parametrize(
    ("told", "option"),
    [
        ({}, "once"),
        ({"kind": "execute", "rawInput": {"command": "rm -r /"}}, "once"),
        ({"locations": [{"path": f"{WORKTREE}/a.py"}]}, "once"),
        ({"locations": [{"path": "src/a.py"}]}, "once"),
        ({"locations": [{"path": WORKTREE}]}, "once"),
        ({"locations": [{"path": f"{WORKTREE}/a.py"}, {"path": "/etc/hosts"}]}, "no"),
        ({"locations": [{"path": f"{WORKTREE}/../other/a.py"}]}, "no"),
        ({"content": [{"type": "diff", "path": "/etc/hosts", "newText": ""}]}, "no"),
        ({"rawInput": {"command": "ls", "cwd": "/etc"}}, "no"),
        ({"rawInput": {"file_path": "~/.ssh/config"}}, "no"),
        ({"locations": [{"path": f"{n}.py"} for n in range(PLACES_MAX + 1)]}, "no"),
    ],
)
def test_what_lies_in_the_worktree_or_names_no_place_is_allowed_once(
    told: dict[str, Any], option: str
) -> None:
    updates = started()
    assert updates.permit(ask(**told)) == option
    assert updates.news.layer is (Layer.TOOL if option == "once" else Layer.PERMISSION)
    assert started(ask_nothing=True).permit(ask(**told)) == "once"


def test_a_place_that_was_told_before_counts() -> None:
    updates = started()
    updates.take(tool(kind="edit", title="write", locations=[{"path": "/etc/hosts"}]))
    assert updates.permit(ask()) == "no"
    assert updates.news.message == "denied: Edit /etc/hosts"
    assert [*updates.teller.denied] == ["Edit /etc/hosts"]


@pytest.mark.parametrize(
    ("kinds", "allowed", "to_one_who_asks_nothing"),
    [
        (["allow_always", "reject_always"], "reject_always", "allow_always"),
        (["allow_always"], None, "allow_always"),
        (["reject_once"], "reject_once", "reject_once"),
        ([], None, None),
        (["odd"], None, None),
    ],
    ids=str,
)
def test_nothing_is_allowed_for_good_unless_nothing_is_asked(
    kinds: list[str], allowed: str | None, to_one_who_asks_nothing: str | None
) -> None:
    asked = {"toolCall": {}, "options": [{"optionId": kind, "kind": kind} for kind in kinds]}
    assert started().permit(asked) == allowed
    assert started(ask_nothing=True).permit(asked) == to_one_who_asks_nothing


def test_what_is_said_is_put_together_message_by_message() -> None:
    updates = started()
    for part in ("It is ", "right.\n", "More."):
        updates.take(chunk(part))
    assert updates.answer == "It is right.\nMore."
    assert updates.take(chunk("Done.", "2")).message == "Done."
    assert updates.answer == "Done."


def test_thoughts_and_odd_updates_are_thinking() -> None:
    updates = started()
    assert updates.begin().message == "thinking"
    updates.take(chunk("Done."))
    assert updates.take({"sessionUpdate": "agent_thought_chunk"}).message == "thinking"
    assert updates.take({"sessionUpdate": "odd"}).message == "thinking"


def test_many_tools_are_not_all_remembered() -> None:
    updates = started()
    for number in range(1000):
        updates.take(tool(toolCallId=str(number), title=f"tool {number}"))
    assert updates.news.message == "tool 999"
    assert len(updates._calls) == CALLS_MAX


def test_what_is_said_is_bounded() -> None:
    updates = started()
    for _ in range(5):
        updates.take(chunk("x" * (SAID_MAX // 2)))
    assert len(updates.answer) == SAID_MAX


def test_codex_tells_a_failure_besides_its_answer() -> None:
    updates = started()
    said = {"message": "Reconnecting... 4/5", "codexErrorInfo": {"x": {"httpStatusCode": 429}}}
    told = {"sessionUpdate": "session_info_update", "_meta": {"codex": {"error": said}}}
    news = updates.take(told)
    assert (news.layer, news.message) == (Layer.RETRIES, "API retries: attempt 4 of 5, 429")
    assert updates.failure is None
    status = {"threadStatus": {"type": "systemError"}}
    updates.take({"sessionUpdate": "session_info_update", "_meta": {"codex": status}})
    assert updates.failure == (Cause.LIMITED, "Reconnecting... 4/5")


def test_codex_tells_a_failure_that_it_does_not_try_again() -> None:
    updates, said = started(), {"message": "unexpected status 401 Unauthorized"}
    updates.take({"sessionUpdate": "session_info_update", "_meta": {"codex": {"error": said}}})
    assert updates.failure == (Cause.REFUSED, said["message"])


def test_copilot_tells_a_failure_as_its_last_words() -> None:
    updates, said = started(), "Error: Authentication failed (HTTP 401)"
    updates.take(chunk(said))
    updates.finish({"stopReason": "end_turn"})
    assert updates.failure == (Cause.REFUSED, said)


def test_words_of_a_failure_after_work_are_no_failure() -> None:
    updates = started()
    updates.take(tool(kind="edit", title="a.py"))
    updates.take(chunk("Error: is now caught (HTTP 401)"))
    updates.finish({"stopReason": "end_turn"})
    assert updates.failure is None
