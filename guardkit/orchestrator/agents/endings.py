"""How a run of an agent ended: why, with the remedy, and which final decision that asks for."""

import re
import signal
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

import msgspec

from guardkit.orchestrator.agents.news import News
from guardkit.orchestrator.proof.outcomes import line_of
from guardkit.progress.snapshot import Usage

ANSWER_MAX = 2**20  # characters of an answer that are kept
SIGNALLED = 128  # exit codes from here on are a shell's, or tell of a signal
NAMED_MAX = 3  # denied tools that are named


class Cause(StrEnum):
    """What keeps an agent from its work, one for each remedy."""

    LOGIN = "not logged in"
    REFUSED = "the API refuses the login"
    LIMITED = "rate limited"
    OVERLOADED = "the API is overloaded"
    DOWN = "the API cannot be reached"
    API = "the API answered with an error"
    SETUP = "cannot be run like this"
    TURNS = "out of its own turns"
    BUDGET = "out of its own budget"
    SESSION = "does not know the session any more"
    DENIED = "was denied"
    SANDBOX = "was refused by its sandbox, it seems"
    STOPPED = "stopped before it had ended"
    BROKEN = "ended without a result"


REMEDIES = {
    Cause.LIMITED: "wait until the limit is lifted, or give another model",
    Cause.OVERLOADED: "try again later",
    Cause.DOWN: "mend the network, or the API's address",
    Cause.TURNS: "raise its limit in --player, such as --max-turns",
    Cause.BUDGET: "raise its limit in --player, such as --max-budget-usd",
    Cause.SESSION: "begin a new session",
    Cause.DENIED: "--permissions ask-nothing would allow it",
    Cause.SANDBOX: "--permissions ask-nothing runs it without one",
}
DECISIONS = {
    Cause.LOGIN: "configuration_error",
    Cause.REFUSED: "configuration_error",
    Cause.SETUP: "configuration_error",
    Cause.LIMITED: "rate_limited",
    Cause.OVERLOADED: "error",
    Cause.DOWN: "error",
    Cause.API: "error",
    Cause.BUDGET: "timeout_budget_exhausted",
}
STATUSES = {
    **dict.fromkeys((401, 403), Cause.REFUSED),
    **dict.fromkeys((404,), Cause.SETUP),  # there is no such model
    **dict.fromkeys((429,), Cause.LIMITED),
    **dict.fromkeys((503, 529), Cause.OVERLOADED),
}
STATUS = re.compile(r"(?:status|error|http)\W{0,3}(?:code\W{0,3})?([45]\d\d)\b", re.IGNORECASE)
# What CLIs say where they give no number; the first that is found counts.
SAYINGS = {
    Cause.SESSION: r"no conversation found|no rollout found|session not found",
    Cause.LOGIN: r"not logged in|/login\b|authentication required|missing environment variable",
    Cause.LIMITED: r"rate.?limit|usage limit|limit reached|quota",
    Cause.OVERLOADED: r"overloaded|high demand",
    Cause.REFUSED: r"unauthorized|authenticat",
    Cause.DOWN: r"connection|network|stream disconnected|econn\w+|enotfound",
    Cause.SETUP: r"unknown option|unexpected argument|is invalid|error loading config"
    r"|cannot be used|trusted directory",
}

# Of what may stand on stderr for other reasons, too, only that ends a build which needs the user.
BY_STDERR = {Cause.SESSION, Cause.LOGIN, Cause.REFUSED, Cause.LIMITED, Cause.SETUP}


class Cli(NamedTuple):
    """What the remedies of a CLI need: its name, how one logs in, and how it is updated."""

    name: str
    login: str
    update: str


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How a run of an agent ended.

    ok: it came to an end of its own and told of no failure; whether its work is right, only the
        tests say.
    cause: what kept it from its work, if anything did; with `ok`, only from a part of it.
    reason: the same in one plain line, with the remedy; "" without a cause; of a run whose time was
        up while nothing held it up, what it was at.
    decision: the final decision that the cause asks for; "" where another turn may do better.
    answer: what it said last: text, or the JSON that a schema has asked for.
    session: its id, by which a later turn goes on; "" where there is none.
    usage: what the session has used so far, earlier turns included.
    """

    ok: bool
    cause: Cause | None = None
    reason: str = ""
    decision: str = ""
    answer: str = ""
    session: str = ""
    usage: Usage = Usage()


def because(cli: Cli, cause: Cause, words: str = "") -> tuple[str, str]:
    """Return reason and final decision for a cause; words: what the CLI says of it."""
    login = cause in {Cause.LOGIN, Cause.REFUSED}
    updated = f"change --player or --permissions, or update it: {cli.update}"
    remedy = cli.login if login else REMEDIES.get(cause, updated if cause is Cause.SETUP else "")
    said = f" ({line_of(words)})" if words else ""
    return "; ".join(filter(None, (f"{cli.name}: {cause}{said}", remedy))), DECISIONS.get(cause, "")


def failed(cli: Cli, news: News, session: str, *, cause: Cause, words: str) -> Ending:
    """Return the ending of a run that a cause has cut short."""
    reason, decision = because(cli, cause, words)
    return Ending(
        ok=False,
        cause=cause,
        reason=reason,
        decision=decision,
        session="" if cause is Cause.SESSION else session,
        usage=news.usage,
    )


def done(
    cli: Cli, news: News, session: str, *, held: Cause, denied: Iterable[str], answer: str
) -> Ending:
    """Return the ending of a run that came to its own end; held: the cause, if any was denied."""
    words = named(denied)
    reason = because(cli, held, words)[0] if words else ""
    return Ending(
        ok=True,
        cause=held if words else None,
        reason=reason,
        answer=answer[:ANSWER_MAX],
        session=session,
        usage=news.usage,
    )


def status_of(words: str) -> int:
    """Return the HTTP status that a text of an error names, 0 where it names none."""
    found = STATUS.search(words)
    return int(found[1]) if found else 0


def cause_of(words: str, status: int = 0) -> Cause | None:
    """Return the cause that a text of an error tells of, None where it tells of none.

    status: of HTTP, where it is known; else one is looked for in the text.
    """
    if status := status or status_of(words):
        return STATUSES.get(status, Cause.API)
    lower = words.lower()
    return next((cause for cause, said in SAYINGS.items() if re.search(said, lower)), None)


def cut_short(
    cli: Cli,
    news: News,
    session: str,
    *,
    exit_code: int | None,
    stderr: str,
    held_up: Cause | None = None,
) -> Ending:
    """Return the ending of a run without a result.

    exit_code: negative for a signal, None where its time was up.
    held_up: what it was waiting for when it ended, as `news` tells; else stderr tells why.
    """
    if held_up:
        return failed(cli, news, session, cause=held_up, words=news.message)
    if exit_code is None:
        return Ending(
            ok=False, cause=Cause.BROKEN, reason=news.message, session=session, usage=news.usage
        )
    said = first_error(stderr)
    cause = (cause_of(said) if 0 < exit_code < SIGNALLED else None) or Cause.BROKEN
    if cause not in BY_STDERR:
        cause, said = Cause.BROKEN, ": ".join(filter(None, (_exited(exit_code), said)))
    return failed(cli, news, session, cause=cause, words=said)


def first_error(stderr: str) -> str:
    """Return the first line that tells what the user can mend, else the last one, plain."""
    lines = [line for line in map(line_of, stderr.splitlines()) if line]
    errors = (line for line in lines if cause_of(line) in BY_STDERR)
    return next(errors, lines[-1] if lines else "")


def _exited(exit_code: int) -> str:
    names = {number.value: number.name for number in signal.Signals}
    name = names.get(-exit_code) or names.get(exit_code - SIGNALLED)  # as shells tell of a signal
    return f"ended by {name}" if name else f"exited with {exit_code}"


def named(denied: Iterable[str]) -> str:
    """Return denied tools in words: the first few, each once."""
    each = list(dict.fromkeys(denied))
    more = len(each) - NAMED_MAX
    return ", ".join(each[:NAMED_MAX]) + (f" and {more} more" if more > 0 else "")
