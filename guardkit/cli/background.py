"""Builds that go on when the command that started them has returned."""

import os
import select
from collections.abc import Callable
from contextlib import suppress
from signal import SIGINT, SIGKILL, SIGTERM
from typing import TextIO

from guardkit.cli import codes
from guardkit.cli.streams import complain
from guardkit.places.terminal.display import Display
from guardkit.progress.folder import open_builds
from guardkit.progress.snapshot import Snapshot
from guardkit.progress.worker import Worker

OUTPUT = "output.log"  # in the folder of the build, beside its journal
PATIENCE = 60.0  # seconds in which a build begins on any disk that does not hang
GRACE = 5.0  # seconds in which a process ends that was told to


def start(build: Callable[[int], int], *, patience: float = PATIENCE) -> int:
    """Have `build` run in a process of its own; return an exit code when it has begun.

    Prints the run's id, or returns the code with which `build` was refused, after its complaint.
    One that does not begin is ended: it would hold what its starter waits for.

    build: is given the descriptor that `Background` tells of the beginning.
    patience: seconds in which it has to begin.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        os.setsid()  # a terminal that is closed ends what is in its session
        _lead_to(os.open(os.devnull, os.O_RDWR), 0, 1)
        return build(writer)
    os.close(writer)
    with os.fdopen(reader, encoding="ascii") as beginning:
        try:
            return _hear(child, beginning, patience)
        except KeyboardInterrupt:
            with suppress(ProcessLookupError):
                os.kill(child, SIGINT)
            raise


def _hear(child: int, beginning: TextIO, patience: float) -> int:
    """Return an exit code when a build has begun, was refused, or has taken too long."""
    if not _is_readable(beginning, patience):
        is_gone = _end(child, beginning, min(GRACE, patience))
        end = "was ended" if is_gone else "cannot be ended"
        late = f"the build has not begun within {patience:g} s, as if the disk hangs"
        return complain(f"{late}: its process {child} {end}")
    if run_id := beginning.read():
        print(run_id)
        return codes.COMPLETED
    _, ended = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(ended)
    return code if code > 0 else codes.UNDONE


def _end(child: int, beginning: TextIO, grace: float) -> bool:
    """End a process and those that it has started; return whether it is gone."""
    for number in (SIGTERM, SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(child, number)
        if _is_readable(beginning, grace):
            return True
    return False


def _is_readable(pipe: TextIO, seconds: float) -> bool:
    """Return whether something comes through a pipe in time, or its other end is closed."""
    coming = select.poll()
    coming.register(pipe, select.POLLIN)
    return bool(coming.poll(seconds * 1000))


class Background:
    """The display of a build in the background, in a file beside its journal.

    display: what prints to standard output, which leads nowhere until the build has begun.
    root: the folder below which the build's files are.
    writer: the descriptor that is told the run's id when the build is on disk, and closed.
    """

    transitions = True

    def __init__(self, display: Display, root: str, writer: int) -> None:
        self._display = display
        self._root = root
        self._writer = writer
        self._run_id = ""

    async def write(self, snapshot: Snapshot, /) -> None:
        """Print what is new in `snapshot`; the second one comes when the first is on disk.

        The first is of the build itself, and later ones may be of its tasks.
        """
        if not self._run_id:
            self._run_id = snapshot.tracker.run_id
            worker = Worker()  # as a disk may hang
            await worker.submit(open_output, self._root, snapshot.task_id)
            worker.shutdown()
        elif self._writer >= 0:
            self._tell(self._run_id)
        await self._display.write(snapshot)

    def _tell(self, run_id: str) -> None:
        writer, self._writer = self._writer, -1
        with suppress(OSError):  # who has started it is gone
            os.write(writer, run_id.encode())
        os.close(writer)


def open_output(root: str, task_id: str) -> None:
    """Have standard output and standard error go to a file in the folder of a build."""
    try:
        with open_builds(root) as builds, builds.folder(task_id) as folder:
            fd = folder.file(OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    except OSError as error:
        complain(f"what {task_id} prints is lost: {error}")
        fd = os.open(os.devnull, os.O_WRONLY)
    _lead_to(fd, 1, 2)


def _lead_to(fd: int, *standard: int) -> None:
    """Have some of the standard streams lead to where a descriptor does, which is closed."""
    for each in standard:
        os.dup2(fd, each)
    os.close(fd)
