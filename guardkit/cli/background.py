"""Builds that go on when the command that started them has returned."""

import os
from collections.abc import Callable
from contextlib import suppress
from signal import SIGINT

from guardkit.cli import codes
from guardkit.cli.streams import complain
from guardkit.places.display import Display
from guardkit.progress.folder import open_builds
from guardkit.progress.snapshot import Snapshot
from guardkit.progress.worker import Worker

OUTPUT = "output.log"  # in the folder of the build, beside its journal


def start(build: Callable[[int], int]) -> int:
    """Have `build` run in a process of its own; return an exit code when it has begun.

    Prints the run's id, or returns the code with which `build` was refused, after its complaint.

    build: is given the descriptor that `Background` tells of the beginning.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        os.setsid()  # a terminal that is closed ends what is in its session
        _lead_to(os.open(os.devnull, os.O_RDWR), 0, 1)
        return build(writer)
    os.close(writer)
    try:
        with os.fdopen(reader, encoding="ascii") as beginning:
            run_id = beginning.read()
        if run_id:
            print(run_id)
            return codes.COMPLETED
        _, ended = os.waitpid(child, 0)
    except KeyboardInterrupt:
        with suppress(ProcessLookupError):
            os.kill(child, SIGINT)
        raise
    code = os.waitstatus_to_exitcode(ended)
    return code if code > 0 else codes.UNDONE


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
        self._begun = False

    async def write(self, snapshot: Snapshot, /) -> None:
        """Print what is new in `snapshot`; the second one comes when the first is on disk."""
        if not self._begun:
            self._begun = True
            worker = Worker()  # as a disk may hang
            await worker.submit(open_output, self._root, snapshot.task_id)
            worker.shutdown()
        elif self._writer >= 0:
            self._tell(snapshot.tracker.run_id)
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
