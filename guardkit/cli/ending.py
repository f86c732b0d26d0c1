"""The commands that end a build, and that remove what builds have left."""

from __future__ import annotations

from guardkit.cli import codes
from guardkit.cli.finder import find
from guardkit.cli.streams import complain
from guardkit.errors import GuardKitError, MisuseError

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from pathlib import Path

    from guardkit.cli.parser import Parser
    from guardkit.orchestrator.repository.drop import Left
    from guardkit.progress.snapshot import Snapshot

WHICH = "give the ID of a build, or --approved, or --older-than; see guardkit autobuild drop --help"
WAIT = 60.0  # seconds in which a build ends that was told to


def declare_cancel(command: Parser) -> None:
    """Declare what `cancel` takes."""
    command.add_id()
    about = "How long to wait for its end, as 90, 90s, 2m or 1h; by default 1m."
    command.add_duration("--timeout", default=WAIT, about=about)
    command.add_root()


def declare_drop(command: Parser) -> None:
    """Declare what `drop` takes."""
    command.add_ids()
    command.add_flag("--approved", about="Of those that were approved.")
    about = "Of those that did nothing for so long, as 14d, 2h or 90m."
    command.add_duration("--older-than", about=about)
    about = "Remove it, though there is work in it that is nowhere else: that is lost."
    command.add_flag("--force", about=about)
    command.add_root()


def cancel(*, task_id: str, timeout: float, root: str) -> int:
    """End a build on this machine as Ctrl-C does, and wait for its end.

    All builds of its process end. The worktree and what is in it are kept, and the journal tells
    who has ended it.

    Exit codes: 0 it has ended; 6 no such build; 7 it is not being built, or not by a process that
    is seen from here; 124 it goes on.
    """
    from guardkit.places.wait import Wanted, wait
    from guardkit.places.words import is_over, look_line

    here = find(root, None, None)
    found = here.look([task_id])
    if not found:
        raise here.not_found(task_id)
    snapshot, verdict = found[0].snapshot, found[0].verdict
    if not snapshot or is_over(verdict):
        return complain(f"{task_id} is not being built: {verdict.state}: {verdict.evidence}")
    if why := _signal(snapshot, root):
        return complain(why)
    from guardkit.cli.signals import until_signal

    wanted = Wanted([task_id], run=snapshot.tracker.run_id)
    answer = until_signal(wait(here.builds, wanted, limit=timeout))
    if answer is None:
        return codes.STOPPED
    for look in answer.looks:
        print(look_line(look, here.builds.clock.monotonic()))
    return codes.TIMED_OUT if answer.timed_out else codes.COMPLETED


def _signal(snapshot: Snapshot, root: str) -> str:
    """Have the process of a build end it; return why that cannot be, or ""."""
    import os
    from contextlib import suppress
    from getpass import getuser
    from signal import SIGINT, SIGTERM

    from guardkit.monitor.holder import find_builder, ignores
    from guardkit.orchestrator.turn_files import REQUEST
    from guardkit.progress.folder import open_builds

    task_id, tracker = snapshot.task_id, snapshot.tracker
    pid = 0
    with suppress(OSError), open_builds(root) as builds:
        pid = find_builder(builds, snapshot)
        if pid:
            with suppress(OSError), builds.folder(task_id) as folder:
                folder.replace(REQUEST, f"by {getuser()}, with guardkit cancel".encode())
            pid = find_builder(builds, snapshot)  # again: to write may have taken long
    if not pid:
        who = f"process {tracker.pid} on {tracker.host}"
        return f"{task_id} is built by {who}, which is not seen from here: end it there"
    try:
        os.kill(pid, SIGTERM if ignores(pid, SIGINT) else SIGINT)
    except OSError as error:
        return f"process {pid}, which builds {task_id}, cannot be ended: {error.strerror}"
    return ""


def drop(
    *, ids: list[str], approved: bool, older_than: float | None, force: bool, root: str
) -> int:
    """Remove the worktree and the branch of builds.

    It refuses, and lists it, where there is work in them that is nowhere else: commits that no
    other branch has, files that are not committed, repositories that were made inside. What the
    build has told, its journal and its documents, stays.

    Exit codes: 0 all of it is removed; 7 something was refused.
    """
    from pathlib import Path

    from guardkit.cli.signals import until_signal

    if not (ids or approved or older_than is not None):
        raise MisuseError(WHICH)
    top = Path(root).absolute()
    code = until_signal(_drop_all(ids, top, approved=approved, older=older_than, force=force))
    return codes.STOPPED if code is None else code


async def _drop_all(
    ids: list[str], root: Path, *, approved: bool, older: float | None, force: bool
) -> int:
    from guardkit.clock import SYSTEM_CLOCK
    from guardkit.orchestrator.repository.drop import drop, find_left, names
    from guardkit.progress.paths import check_task_id

    code = codes.COMPLETED
    wanted = [check_task_id(each) for each in ids] or await names(root, SYSTEM_CLOCK)
    for name in wanted:
        if not _is_meant(name, root, approved=approved, older=older):
            continue
        try:
            left = await find_left(root, name, SYSTEM_CLOCK)
            if left.work and not force:
                code = _refuse(left)
                continue
            await drop(left)
        except GuardKitError as error:
            code = complain(error)
        else:
            print(f"{name}: removed {left}", flush=True)
    return code


def _refuse(left: Left) -> int:
    for each in left.work:
        complain(f"{left.name} has work that is nowhere else: {each}")
    return complain(f"{left.name} was kept: merge what you need of it, or add --force")


def _is_meant(name: str, root: Path, *, approved: bool, older: float | None) -> bool:
    """Return whether a build is one of those that are meant, by what its file tells."""
    if not approved and older is None:
        return True
    from guardkit.clock import SYSTEM_CLOCK
    from guardkit.progress.reader import read_progress

    try:
        snapshot = read_progress(name, root=root)
    except GuardKitError:
        return False
    age = (SYSTEM_CLOCK.now() - snapshot.updated_at).total_seconds()
    return (not approved or snapshot.decision == "approved") and (older is None or age >= older)
