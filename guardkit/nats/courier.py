"""Brings runs into the streams, as long as it runs, whatever becomes of the server."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from guardkit.clock import Clock
from guardkit.errors import NatsError
from guardkit.nats.client import CLOSE, Client, see
from guardkit.nats.jetstream import NOT_NOW, RefusedError
from guardkit.nats.line import Line
from guardkit.nats.run import DISK_LATE, Run
from guardkit.nats.settings import Settings
from guardkit.nats.source import Source, Told
from guardkit.nats.streams import ensure_streams
from guardkit.progress.journal import Spot
from guardkit.progress.timer import Timer
from guardkit.progress.worker import Worker

RETRY = 10.0  # seconds until a run is tried again that the server refuses
SOON = 0.5  # seconds until it is tried again where the servers have no leader
AT_ONCE = 32  # runs that are delivered side by side

T = TypeVar("T")


class Courier:
    """Delivers runs over one connection, from when it is made until it is closed.

    runs: those that are not over, by task and run, as a file may claim to be of any run.
    to: the servers and the project, as they are noted.
    """

    def __init__(self, settings: Settings, project: str, clock: Clock) -> None:
        self.runs: dict[tuple[str, str], Run] = {}
        self._project = project
        self.to = f"{settings} {project}".strip()
        self.clock = clock
        self.timer = Timer.join(clock)
        self.line = Line(settings, clock, self._prepare)
        self._files = Worker()
        self._thread = asyncio.Lock()
        self._noting: asyncio.Future[None] | None = None
        self._hung: asyncio.Future[Any] | None = None  # what the thread has not come back from
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._made = 0  # times that a stream was gone, and was made again
        self._keeping = asyncio.create_task(self.line.keep())
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def gone(self) -> bool:
        """Whether its event loop has ended before it."""
        return self._keeping.done()

    async def close(self) -> None:
        """End the connection; what is not delivered stays due."""
        tasks = {self._keeping, *self._tasks}
        for task in tasks:
            task.cancel()
        try:
            await asyncio.wait(tasks)
            if self._noting:  # an exit does not wait for the thread
                await self.timer.hangs(self._noting, CLOSE)
        finally:  # a build that has waited long enough cancels this
            self._files.shutdown()
            await self.timer.leave()

    def add(
        self, task_id: str, run_id: str, root: str | None, *, is_due: bool = True, **more: Any
    ) -> Run:
        """Have a run delivered from now on, and return it.

        root: of its files; None: nothing is on disk.
        is_due: it need not be noted first.
        """
        source = Source(root, task_id, run_id) if root else None
        run = Run(task_id, run_id, self._project, self.timer, source, **more)
        self.runs[task_id, run_id] = run
        if not is_due and source:
            self._note_due(source)
        self.start(self._bring(run))
        return run

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Have some work done, and end it with all the rest."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def call(self, function: Callable[..., T], *args: object) -> T:
        """Return what a function returns, in the thread.

        Raises what that raises, and TimeoutError, an OSError, as long as a disk hangs.
        """
        async with self._thread:  # as those that wait for it do not hang
            if self._hung and not self._hung.done():
                raise TimeoutError
            with self.clock.busy():
                work = self._submit(function, *args)
                if await self.timer.hangs(work, DISK_LATE):
                    self._hung = work
                    raise TimeoutError
        return work.result()

    async def _bring(self, run: Run) -> None:
        try:
            while not run.over:
                await run.rest(await self._deliver(run, await self.line.connected()))
            if run.source and run.delivered:
                with suppress(OSError):  # then it is looked at again, and found delivered
                    await self.call(run.source.note, self.to, "done")
        except Exception as error:  # a defect: it costs this run alone
            self.line.fail(error)
        finally:
            self.runs.pop((run.task_id, run.run_id), None)
        self.line.news()

    def _note_due(self, source: Source) -> None:
        """Have a run noted as due, before what waits to be read."""
        try:
            self._noting = self._submit(source.note, self.to, "due")
            self._noting.add_done_callback(self._noted)
        except OSError as error:
            self.line.warn(error)

    def _noted(self, work: "asyncio.Future[None]") -> None:
        if not work.cancelled() and isinstance(error := work.exception(), OSError):
            self.line.warn(error)

    def _submit(self, function: Callable[..., T], *args: object) -> "asyncio.Future[T]":
        """Have a function called in the thread, whoever waits for it or not; raises OSError."""
        work: asyncio.Future[T] = self._files.submit(function, *args)
        work.add_done_callback(see)
        return work

    async def _deliver(self, run: Run, client: Client) -> float:
        """Deliver what there is of a run; return in how many seconds to go on."""
        made = self._made
        try:
            async with self._turns:
                return 0.0 if client.lost.done() else await run.deliver(client, self._read)
        except NatsError as error:
            run.forget()
            with suppress(NatsError):  # somebody may have deleted a stream
                missing = await ensure_streams(client)
                self._made += missing
            if client.lost.done() or self._made != made:
                return 0.0
            self.line.fail(error)  # it is refused
            return SOON if isinstance(error, RefusedError) and error.code in NOT_NOW else RETRY

    async def _read(self, source: Source, spot: Spot | None) -> Told | None:
        try:
            return await self.call(source.read, spot)
        except FileNotFoundError:
            return None
        except TimeoutError:
            raise
        except OSError as error:
            self.line.warn(error)
            return None

    async def _prepare(self, client: Client) -> None:
        """Begin with a new connection: nothing is known of the streams."""
        await ensure_streams(client)
        for run in self.runs.values():
            run.forget()
