"""The commands that look at builds, and what all commands share: options, complaints, exit codes.

A command imports what needs an event loop or a live terminal itself: the others start at once.
"""

import sys
from collections.abc import Coroutine
from pathlib import Path
from signal import SIG_IGN, SIGHUP, SIGINT, SIGTERM, getsignal, signal
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from guardkit import errors
from guardkit.monitor.parser import Commands, at_least

if TYPE_CHECKING:
    from guardkit.monitor.watch import Display
    from guardkit.progress.snapshot import Snapshot
    from guardkit.progress.verdict import Verdict

    Looks = dict[str, tuple[Snapshot, Verdict]]
T = TypeVar("T")
TROUBLE = {"crashed": 4, "lost": 4, "unresponsive": 5, "overdue": 5, "stalled": 5}
CODES = {"running": 0, "completed": 0, "failed": 1, "cancelled": 3} | TROUBLE  # the highest counts
# What timeout(1) answers, and what shells make of a command that was ended by Ctrl-C.
USAGE, UNKNOWN, TIMED_OUT, STOPPED = 2, 6, 124, 130
USAGE_ERRORS = (errors.MisuseError, errors.TaskNotFoundError, errors.InvalidTaskError)


def add_commands(commands: Commands) -> None:
    """Declare the commands that look at builds."""
    command = commands.add("status", status)
    command.add_ids()
    command.add_argument("--json", action="store_true", help="Print a list in JSON.")
    command.add_stall_after()
    command.add_root()

    command = commands.add("watch", watch)
    command.add_ids()
    command.add_stall_after()
    command.add_root()

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

    command = commands.add("log", log)
    command.add_id()
    command.add_root()

    commands.add("schema", schema)


def status(*, ids: list[str], json: bool, stall_after: float, root: Path) -> int:
    """Take one look at builds.

    The exit code tells how they are; of several the highest counts.
    """
    builds, codes = _look(root, ids, stall_after)
    if json:
        import msgspec

        looks = [{"task_id": i, "verdict": v, "progress": s} for i, (s, v) in builds.items()]
        print(msgspec.json.format(msgspec.json.encode(looks), indent=2).decode())
    elif builds:
        from guardkit.clock import SystemClock
        from guardkit.monitor.render import status_lines

        print("\n".join(status_lines(list(builds.values()), SystemClock().now())))
    if not (builds or codes):
        raise errors.ProgressNotFoundError(f"no build is known below {root}")
    return max([*codes, *(CODES[verdict.state] for _, verdict in builds.values())])


def watch(*, ids: list[str], stall_after: float, root: Path) -> int:
    """Show builds live until they have ended.

    Those whose builder is gone have ended, too. Ctrl-C ends only the watching.
    """
    from guardkit.monitor.render import is_over
    from guardkit.monitor.watch import Display, watch

    builds, codes = _look(root, ids, stall_after)
    wanted = [task_id for task_id, build in builds.items() if ids or not is_over(*build)]
    if not (wanted or codes):
        raise errors.ProgressNotFoundError(f"no build is running below {root}")
    display = Display(1, labels=len(wanted) > 1)
    verdicts = until_signal(watch(wanted, display, root=root, stall_after=stall_after), display)
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
) -> int:
    """Block until a build is done, changes or needs you.

    Prints one line, and tells by the exit code how the build is: as status does, and 124 when the
    time is up. Returns in any case when nothing more can come of the build.
    """
    from guardkit.monitor.wait import wait

    state, line = wait(task_id, until, timeout=timeout, root=root, stall_after=stall_after)
    print(line)
    return CODES[state] if state else TIMED_OUT


def log(*, task_id: str, root: Path) -> None:
    """Print the journal of a task, a line for each event."""
    from guardkit.monitor.render import log_line
    from guardkit.progress.journal import read_events

    events = read_events(task_id, root=root)
    if not events:
        raise errors.ProgressNotFoundError(f"no build of {task_id} is in a journal below {root}")
    print("\n".join(map(log_line, events)))


def schema() -> None:
    """Print the JSON Schema of the progress file."""
    import json

    from guardkit.progress import snapshot

    print(json.dumps(snapshot.schema(), indent=2))


def complain(what: Exception | str) -> int:
    """Say in one line what is wrong; return the exit code for it."""
    from guardkit.monitor.render import clean

    if sys.stderr:  # else it was closed, and print would take the standard output for it
        print(f"guardkit: {clean(str(what))}", file=sys.stderr)
    if isinstance(what, errors.ProgressNotFoundError):
        return UNKNOWN
    return USAGE if isinstance(what, USAGE_ERRORS) else CODES["failed"]


def _look(root: Path, ids: list[str], stall_after: float) -> "tuple[Looks, list[int]]":
    """Return the builds that can be read; complain of the others, and return their exit codes."""
    from guardkit.progress.reader import list_builds, read_progress
    from guardkit.progress.verdict import assess_each

    snapshots: dict[str, Snapshot] = {}
    codes: list[int] = []
    for task_id in dict.fromkeys(ids or list_builds(root)):
        try:
            snapshots[task_id] = read_progress(task_id, root=root)
        except (errors.ProgressNotFoundError, errors.InvalidProgressError) as error:
            codes.append(complain(error))
    verdicts = assess_each([*snapshots.values()], root=root, stall_after=stall_after)
    looks = zip(snapshots.items(), verdicts, strict=True)
    return {task_id: (snapshot, verdict) for (task_id, snapshot), verdict in looks}, codes


def until_signal(work: Coroutine[Any, Any, T], display: "Display") -> T | None:
    """Run `work` with `display` shown; SIGINT, SIGTERM and SIGHUP cancel it: then None.

    Those that we were started to ignore, as by nohup, stay ignored; further ones change nothing.
    """
    import asyncio

    from anyio import CancelScope

    heeded = [each for each in (SIGINT, SIGTERM, SIGHUP) if getsignal(each) is not SIG_IGN]

    async def guarded() -> T | None:
        loop = asyncio.get_running_loop()
        with display.shown, CancelScope() as scope:
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
