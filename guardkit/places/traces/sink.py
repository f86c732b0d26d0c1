"""A sink that makes traces of builds, for OpenTelemetry: `guardkit[otel]`."""

import asyncio
import os
from collections.abc import Mapping
from weakref import WeakValueDictionary

from guardkit.clock import SYSTEM_CLOCK, Clock
from guardkit.errors import TracesError
from guardkit.places.traces.ids import Origin, Outer, innermost
from guardkit.places.traces.outbox import Heard, Outbox
from guardkit.places.traces.settings import check_protocol, for_agents, receiver
from guardkit.progress.build import Build
from guardkit.progress.sinks import Warner
from guardkit.progress.snapshot import Snapshot
from guardkit.progress.worker import Worker

PAUSE, RETRY = 1.0, 10.0  # seconds in which spans gather, and until a receiver is tried again


class TraceSink:
    """Sends a span for each build, wave, turn and phase that ends, to an OTLP receiver.

    The receiver, its headers and all else come from the usual variables, from
    OTEL_EXPORTER_OTLP_ENDPOINT on. The spans hang below the one that is current where the sink is
    made, else below that in TRACEPARENT. Of a build that has died, the next one of its task sends
    what is left; what was sent already is not sent again. One sink may serve all builds of an event
    loop.

    clock: by default the machine's.

    Raises TracesError where the extra is missing, or another protocol is asked for; what goes wrong
    later is a warning in the log `guardkit.progress`.
    """

    transitions = True

    def __init__(self, *, clock: Clock | None = None) -> None:
        check_protocol()
        try:
            from guardkit.places.traces.otlp import Otlp, find_current
        except ImportError as error:
            extra = "traces take an extra of guardkit: pip install 'guardkit[otel]'"
            raise TracesError(extra) from error
        self._clock = clock or SYSTEM_CLOCK
        self._outer = find_current() or Outer.parse(os.environ.get("TRACEPARENT"))
        try:
            self._otlp = Otlp()
        except Exception as error:  # the SDK's
            raise TracesError(f"OpenTelemetry does not take its settings: {error}") from error
        self._outbox = Outbox(self._otlp, self._outer)
        self._worker = Worker()
        self._warner = Warner(self)
        self._builds: WeakValueDictionary[str, Build] = WeakValueDictionary()  # by run id
        self._live: set[str] = set()  # runs that were heard of, and have not ended
        self._news: dict[str, Heard] = {}  # since the last round, by run id
        self._task: asyncio.Task[None] | None = None
        self._is_sent = True  # all that there was in the last round
        self._is_new = False  # a run of the next one

    def __str__(self) -> str:
        return f"TraceSink({receiver()})"

    def attach(self, build: Build) -> None:
        """Hear where the files of a build are."""
        self._builds[build.snapshot.tracker.run_id] = build

    async def write(self, snapshot: Snapshot, /) -> None:
        """Have the spans sent that end with this snapshot; returns at once."""
        run_id, now = snapshot.tracker.run_id, (self._clock.now(), snapshot)
        if run_id not in self._live:
            self._is_new = True
        (self._live.discard if snapshot.terminal else self._live.add)(run_id)
        build, before = self._builds.get(run_id), self._news.get(run_id)
        folder = build.folder if build else None
        earlier = before.snapshots if before and folder is None else []
        self._news[run_id] = Heard(folder, [*earlier, now])
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._deliver())

    async def aclose(self) -> None:
        """Return when all is sent, or cannot be; a second call tries it again."""
        if self._task:
            self._task.cancel()
            await asyncio.wait({self._task})
        if not self._is_sent:
            self._otlp.hurry()
        try:
            await self._round()
        except asyncio.CancelledError:  # the build waits no longer; nobody shall send it later on
            self._otlp.hurry()
            raise
        finally:
            if not self._live:
                self._worker.shutdown()
                self._worker = Worker()

    def environment(self, snapshot: Snapshot) -> Mapping[str, str]:
        """Return what an agent is to have in its environment, for its spans to hang below ours.

        snapshot: of the build, in the phase in which the agent runs.
        """
        origin = Origin.of(snapshot, self._outer)
        is_sampled = self._otlp.is_sampled(origin)
        return for_agents(str(Outer(origin.trace_id, innermost(snapshot), is_sampled)))

    async def _deliver(self) -> None:
        """Send what there is until there is no more; a run that is new is noted at once."""
        while self._news or not self._is_sent:
            if not self._is_new:
                await self._clock.sleep(PAUSE if self._is_sent else RETRY)
            await self._round()

    async def _round(self) -> None:
        news, self._news, self._is_new = self._news, {}, False
        try:
            with self._clock.busy():
                self._is_sent = await self._worker.submit(self._outbox.send, news)
        except OSError as error:  # there is no thread to be had
            self._warner.failed(error)
        if not self._is_sent:
            remedy = "it is tried again, and by the next build of the task"
            self._warner.warn("unsent", f"not all traces could be sent: {remedy}")
