"""The commands that look at builds, and what all commands share: options, complaints, exit codes.

A command imports what needs an event loop or a live terminal itself: the others start at once.
"""

import sys
from collections.abc import Callable, Collection, Coroutine, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from signal import SIG_IGN, SIGHUP, SIGINT, SIGTERM, getsignal, signal
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from guardkit import errors
from guardkit.cli.parser import Commands, at_least

if TYPE_CHECKING:
    from guardkit.monitor.verdict import Verdict
    from guardkit.progress.snapshot import Snapshot

    Looks = dict[str, tuple[Snapshot, Verdict]]
T = TypeVar("T")
TROUBLE = {"crashed": 4, "lost": 4, "unresponsive": 5, "overdue": 5, "stalled": 5}
CODES = {"running": 0, "completed": 0, "failed": 1, "cancelled": 3} | TROUBLE  # the highest counts
# What timeout(1) answers, and what shells make of a command that was ended by Ctrl-C.
USAGE, UNKNOWN, TIMED_OUT, STOPPED = 2, 6, 124, 130
USAGE_ERRORS = (errors.MisuseError, errors.TaskNotFoundError, errors.InvalidTaskError)

_LOOK_THERE = "Look at the builds of all machines, on a NATS server."


def add_commands(commands: Commands) -> None:
    """Declare the commands that look at builds."""
    command = commands.add("status", status)
    command.add_ids()
    command.add_argument("--json", action="store_true", help="Print a list in JSON.")
    command.add_stall_after()
    command.add_root()
    command.add_nats(about=_LOOK_THERE)

    command = commands.add("watch", watch)
    command.add_ids()
    command.add_stall_after()
    command.add_root()
    command.add_nats(about=_LOOK_THERE)

    command = commands.add("wait", wait)
    command.add_id()
    ends = ("done", "change", "trouble")
    about = (
        "Until done, by default; or change, of turn, phase or state; or trouble, that needs you."
    )
    command.add_argument("--until", choices=ends, default="done", metavar="WHEN", help=about)
    about = "Seconds at most; for ever by default."
    command.add_argument("--timeout", type=at_least(0.0), metavar="S", help=about)
    command.add_stall_after()
    command.add_root()
    command.add_nats(about=_LOOK_THERE)

    command = commands.add("log", log)
    command.add_id()
    command.add_root()
    command.add_nats(about=_LOOK_THERE)

    commands.add("schema", schema)


def status(*, ids: list[str], json: bool, stall_after: float, root: Path, nats: str | None) -> int:
    """Take one look at builds.

    The exit code tells how they are; of several the highest counts.
    """
    with place(root, nats, ids) as here:
        builds, codes = _look(here, ids, stall_after)
    if json:
        import msgspec

        looks = [{"task_id": i, "verdict": v, "progress": s} for i, (s, v) in builds.items()]
        print(msgspec.json.format(msgspec.json.encode(looks), indent=2).decode())
    elif builds:
        from guardkit.clock import SystemClock
        from guardkit.places.words import status_lines

        print("\n".join(status_lines(list(builds.values()), SystemClock().now())))
    if not (builds or codes):
        raise errors.ProgressNotFoundError(f"no build is known {here.name}")
    return max([*codes, *(CODES[verdict.state] for _, verdict in builds.values())])


def watch(*, ids: list[str], stall_after: float, root: Path, nats: str | None) -> int:
    """Show builds live until they have ended.

    Those whose builder is gone have ended, too. Ctrl-C ends only the watching.
    """
    from guardkit.places.watch import PAST_MAX, Display, watch
    from guardkit.places.words import is_over

    with ExitStack() as places:
        history = 0 < len(ids) <= PAST_MAX
        here = places.enter_context(place(root, nats, ids, history=history))
        builds, codes = _look(here, ids, stall_after)
        wanted = [task_id for task_id, build in builds.items() if ids or not is_over(*build)]
        if not (wanted or codes):
            raise errors.ProgressNotFoundError(f"no build is running {here.name}")
        if not ids and len(wanted) <= PAST_MAX:  # of all builds the history would be too long
            places.close()
            here = places.enter_context(place(root, nats, wanted, history=True))
        display = Display(1, labels=len(wanted) > 1)
        judge = partial(here.judge, stall_after=stall_after)
        watching = watch(wanted, display, root=here.root, judge=judge)
        verdicts = until_signal(watching, display.shown)
    if verdicts is None:
        return STOPPED
    return max([*codes, *(CODES[verdict.state] for verdict in verdicts)])


def wait(
    *,
    task_id: str,
    until: Literal["done", "change", "trouble"],
    timeout: float | None,
    stall_after: float,
    root: Path,
    nats: str | None,
) -> int:
    """Block until a build is done, changes or needs you.

    Prints one line, and tells by the exit code how the build is: as status does, and 124 when the
    time is up. Returns in any case when nothing more can come of the build.
    """
    from guardkit.places.wait import wait

    with place(root, nats, [task_id]) as here:
        try:
            judge = partial(here.judge, stall_after=stall_after)
            state, line = wait(task_id, until, timeout=timeout, root=here.root, judge=judge)
        except errors.ProgressNotFoundError:
            raise here.not_found(task_id) from None
    print(line)
    return CODES[state] if state else TIMED_OUT


def log(*, task_id: str, root: Path, nats: str | None) -> None:
    """Print the journal of a task, a line for each event."""
    from guardkit.places.words import log_line
    from guardkit.progress.journal import read_events

    with place(root, nats, [task_id], history=True) as here:
        events = read_events(task_id, root=here.root)
    if not events:
        raise errors.ProgressNotFoundError(f"no build of {task_id} is in a journal {here.name}")
    print("\n".join(map(log_line, events)))


def schema() -> None:
    """Print the JSON Schema of the progress file."""
    import json

    from guardkit.progress import snapshot

    print(json.dumps(snapshot.schema(), indent=2))


def complain(what: Exception | str) -> int:
    """Say in one line what is wrong; return the exit code for it."""
    from guardkit.places.words import clean

    if sys.stderr:  # else it was closed, and print would take the standard output for it
        print(f"guardkit: {clean(str(what))}", file=sys.stderr)
    if isinstance(what, errors.ProgressNotFoundError):
        return UNKNOWN
    return USAGE if isinstance(what, USAGE_ERRORS) else CODES["failed"]


class Place(NamedTuple):
    """Where builds are looked for: below a root; what to call that, and who judges them there."""

    root: Path
    name: str
    judge: "Callable[..., list[Verdict]]"

    def not_found(self, task_id: str) -> errors.ProgressNotFoundError:
        """Return what to raise where there is no build of a task."""
        return errors.ProgressNotFoundError(f"no build of {task_id} is known {self.name}")


@contextmanager
def place(
    root: Path, nats: str | None, ids: Collection[str], *, history: bool = False
) -> Generator[Place]:
    """Give the place of some builds, by default all: a root, or a NATS server as one."""
    from guardkit.monitor.verdict import assess_each

    if nats is None:
        yield Place(root, f"below {root}", partial(assess_each, root=root))
        return
    from guardkit.nats.mirror import mirrored
    from guardkit.nats.settings import find_settings

    settings = find_settings(nats)
    with mirrored(settings, ids, history=history) as mirror:
        judge = partial(assess_each, root=mirror.root, now=mirror.now, silence=mirror.silence)
        yield Place(mirror.root, f"on {settings}", judge)


def _look(here: Place, ids: list[str], stall_after: float) -> "tuple[Looks, list[int]]":
    """Return the builds that can be read; complain of the others, and return their exit codes."""
    from guardkit.progress.reader import list_builds, read_progress

    snapshots: dict[str, Snapshot] = {}
    codes: list[int] = []
    for task_id in dict.fromkeys(ids or list_builds(here.root)):
        try:
            snapshots[task_id] = read_progress(task_id, root=here.root)
        except errors.ProgressNotFoundError:
            codes.append(complain(here.not_found(task_id)))
        except errors.InvalidProgressError as error:
            codes.append(complain(error))
    verdicts = here.judge([*snapshots.values()], stall_after=stall_after)
    looks = zip(snapshots.items(), verdicts, strict=True)
    return {task_id: (snapshot, verdict) for (task_id, snapshot), verdict in looks}, codes


def until_signal(work: Coroutine[Any, Any, T], shown: AbstractContextManager[object]) -> T | None:
    """Run `work` while something is shown; SIGINT, SIGTERM and SIGHUP cancel it: then None.

    Those that we were started to ignore, as by nohup, stay ignored; further ones change nothing.
    """
    try:
        import asyncio
        import logging

        from anyio import CancelScope

        # It warns of a child that has ended just when it was to be killed: nothing to people.
        logging.getLogger("asyncio").setLevel(logging.ERROR)

        heeded = [each for each in (SIGINT, SIGTERM, SIGHUP) if getsignal(each) is not SIG_IGN]

        async def guarded() -> T | None:
            loop = asyncio.get_running_loop()
            with shown, CancelScope() as scope:
                for each in heeded:
                    loop.add_signal_handler(each, scope.cancel)
                try:
                    return await work
                finally:
                    for each in heeded:
                        loop.remove_signal_handler(each)
                        signal(each, SIG_IGN)
            return None

        return asyncio.run(guarded())
    finally:
        work.close()  # where a signal came before it could begin
