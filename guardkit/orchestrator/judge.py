"""A judging Coach on top of the tests: it can only refuse what these have approved."""

import json
from collections.abc import Sequence
from typing import Literal

import msgspec

from guardkit.orchestrator.agents.agent import Agent, Log, Spend
from guardkit.orchestrator.processes.commands import CommandResult, Seat
from guardkit.orchestrator.proof.outcomes import line_of

LIST_MAX = 50  # issues, and criteria
ANSWER_MAX = 2**20  # characters that are looked at
AGAIN = (
    "\n\nYour last answer was not the JSON object that was asked for ({why}). Answer with that "
    "object and nothing else."
)
_TEXTS = {"type": "array", "items": {"type": "string"}}
_FIELDS = {
    "decision": {"type": "string", "enum": ["approve", "feedback"]},
    "rationale": {"type": "string"},
    "issues": _TEXTS,
    "criteria_verification": _TEXTS,
}
SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": _FIELDS,
        "required": [*_FIELDS],
        "additionalProperties": False,
    }
)


class Opinion(msgspec.Struct, frozen=True, kw_only=True):
    """What a judging Coach says of a turn, in plain lines."""

    decision: Literal["approve", "feedback"]
    rationale: str
    issues: Sequence[str] = ()
    criteria_verification: Sequence[str] = ()


async def ask(
    agent: Agent, prompt: str, seat: Seat, *, log: Log, spend: Spend
) -> tuple[Opinion | None, str]:
    """Return the opinion of an agent; or None, and why there is none.

    An answer that is none is asked for once more.
    """
    said = await agent.work(prompt, seat, log=log, spend=spend)
    opinion, why = read(said)
    if opinion is None and said.exit_code == 0:
        again = prompt + AGAIN.format(why=why)
        opinion, why = read(await agent.work(again, seat, log=log, spend=spend))
    return opinion, why


def read(said: CommandResult) -> tuple[Opinion | None, str]:
    """Return the opinion in an answer; or None, and why there is none."""
    if said.exit_code != 0:
        return None, said.ending
    text = (said.answer or said.tail)[-ANSWER_MAX:]
    begin, end = text.find("{"), text.rfind("}")
    try:
        found = msgspec.json.decode(text[begin : end + 1] if begin >= 0 else "", type=Opinion)
    except Exception as error:  # msgspec's: also RecursionError
        return None, line_of(str(error))
    if found.decision == "approve" and found.issues:
        return None, "it approves, and names issues"
    return (
        Opinion(
            decision=found.decision,
            rationale=line_of(found.rationale),
            issues=[line_of(each) for each in found.issues[:LIST_MAX]],
            criteria_verification=[
                line_of(each) for each in found.criteria_verification[:LIST_MAX]
            ],
        ),
        "",
    )
