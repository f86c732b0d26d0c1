"""Any command as a build: its output and its signals are passed on, its end is told."""

import os
import signal
from collections.abc import Mapping
from contextlib import AsyncExitStack, closing
from pathlib import Path, PurePath
from typing import NamedTuple

import anyio

from guardkit.clock import SYSTEM_CLOCK
from guardkit.orchestrator.documents import Documents
from guardkit.orchestrator.processes.commands import SIGNALS
from guardkit.orchestrator.run.job import Job
from guardkit.orchestrator.run.keeper import UNSTARTED, Keeper, Kind
from guardkit.orchestrator.run.listener import Listener
from guardkit.orchestrator.run.outflow import Outflow, Write
from guardkit.orchestrator.run.wires import Wires
from guardkit.progress.build import track_build
from guardkit.progress.scopes import Phase

SIGNALLED = 128  # what a shell adds to the number of a signal


class Ending(NamedTuple):
    """How a command has ended.

    code: its exit code, 128 + n where signal n has ended it, 125 where it could not be started.
    failure: why it has failed, "" where it has not.
    started: whether it was started at all.
    lost: why some of its output could not be written, None where all of it could.
    """

    code: int
    failure: str = ""
    started: bool = True
    lost: OSError | None = None


async def run(
    task_id: str,
    program: str,
    keeper: Keeper,
    wires: Wires,
    *,
    writes: Mapping[int, Write],
    tab: tuple[bytes, bytes],
    root: str,
) -> Ending:
    """Run a command to its end, as a build of one phase.

    task_id: of the build.
    program: the first word of the command, which the phase is named after.
    keeper, wires: what starts the command, and what its streams are.
    writes: by descriptor, 1 and 2, what writes all that it is given.
    tab: what the terminal is sent, if it is one, when the command begins to work there, and when it
        no longer does.
    root: the folder below which the files of the build are.

    Raises MisuseError, and BuildAlreadyRunningError, before the command is started.
    """
    name, job = PurePath(program).name or "Run", Job(wires, tab)
    documents = Documents(Path(root), task_id, SYSTEM_CLOCK)
    with closing(documents), job.connected():
        async with track_build(task_id, task_name=name, turn_max=1, root=root) as build:
            await documents.cancelled_by()  # a note on an earlier run says nothing of this
            async with build.phase(name) as phase:
                ending = await _follow(keeper, wires, writes, job, phase)
                by = await documents.cancelled_by()
                if by and ending.failure:
                    ending = ending._replace(failure=f"{ending.failure}; cancelled {by}")
                if ending.failure:
                    phase.fail(ending.failure)
            if ending.failure:
                build.fail(ending.failure)
    return ending


async def _follow(
    keeper: Keeper, wires: Wires, writes: Mapping[int, Write], job: Job, phase: Phase
) -> Ending:
    """Start a command, and return how it has ended, as soon as its output is passed on."""
    listener = Listener(phase, writes, SYSTEM_CLOCK)
    outflow, ending = Outflow(wires, writes, listener), None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listener.follow)
        tasks.start_soon(job.follow_foreground, SYSTEM_CLOCK)
        job.prepare()
        keeper.go()
        ending = await Running(job, outflow, listener, phase).follow(keeper)
        await outflow.finish(job.enough)
        tasks.cancel_scope.cancel()
    listener.tell(whole=True)
    if not ending:
        raise ChildProcessError("the process between guardkit and the command was ended")
    return ending._replace(lost=outflow.lost)


class Running:
    """A command that runs, stops and goes on."""

    def __init__(self, job: Job, outflow: Outflow, listener: Listener, phase: Phase) -> None:
        self._job = job
        self._outflow = outflow
        self._listener = listener
        self._phase = phase
        self._suspension = AsyncExitStack()

    async def follow(self, keeper: Keeper) -> Ending | None:
        """Return how the command has ended, None where nobody can tell."""
        refusal: Ending | None = None
        while event := await keeper.hear():
            number = event.number
            match event.kind:
                case Kind.STARTED:
                    self._job.begin(number)
                case Kind.REFUSED:
                    why = f"could not be started: {os.strerror(number)}"
                    refusal = Ending(UNSTARTED, why, started=False)
                case Kind.STOPPED:
                    await self._stop(number)
                case Kind.CONTINUED:
                    await self._go_on()
                case Kind.ENDED:
                    self._job.end(number)
                    await self._go_on()
                    return refusal or _ending(number)
        self._job.send(signal.SIGHUP)
        return None

    async def _stop(self, number: int) -> None:
        """Tell that the command has stopped, and stop as well.

        After SIGSTOP we go on: whoever has sent it to the command will continue the command alone.
        """
        if self._job.lend(number):
            return
        await self._outflow.flush()
        self._listener.fall_silent()
        await self._suspension.aclose()
        await self._suspension.enter_async_context(self._phase.phase("Suspended"))
        if number != signal.SIGSTOP:
            self._job.stop(number)

    async def _go_on(self) -> None:
        await self._suspension.aclose()
        self._listener.go_on()


def _ending(code: int) -> Ending:
    """Return how a command has ended, by its exit code, which is negative for a signal."""
    failure = SIGNALS.get(code, f"exited with {code}") if code else ""
    return Ending(code if code >= 0 else SIGNALLED - code, failure)
