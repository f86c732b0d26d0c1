"""A sink that publishes builds to NATS, and for which no build waits or fails."""

from contextlib import suppress
from weakref import WeakValueDictionary

from guardkit.clock import SYSTEM_CLOCK, Clock
from guardkit.errors import GuardKitError
from guardkit.nats.courier import Courier
from guardkit.nats.notes import find_left
from guardkit.nats.run import Run
from guardkit.nats.settings import find_project, find_settings
from guardkit.progress.build import Build
from guardkit.progress.paths import root_of
from guardkit.progress.snapshot import Snapshot


class NatsSink:
    """Publishes the builds that it is a sink of, and what earlier sinks could not deliver.

    One sink may serve all builds of an event loop: they share a connection. Of a build that writes
    nothing to disk, only the documents are published.

    url: of the NATS server; by default that in NATS_URL, else of the selected context of the `nats`
        command.
    project: tells the builds of several repositories apart; by default that in GUARDKIT_PROJECT.
    clock: by default the machine's.

    Raises NatsError for an invalid URL or context, and MisuseError for what is no project; whatever
    is wrong later is a warning in the log `guardkit.progress`.
    """

    def __init__(
        self, url: str | None = None, *, project: str | None = None, clock: Clock | None = None
    ) -> None:
        self._settings = find_settings(url)
        self._project = find_project(project)
        self._clock = clock or SYSTEM_CLOCK
        self._builds: WeakValueDictionary[str, Build] = WeakValueDictionary()  # by run
        self._unheard: set[str] = set()  # runs of which there was no snapshot yet
        self._roots: set[str] = set()  # below which what is left has been looked for
        self._leaving = 0  # builds that wait for it
        self._courier: Courier | None = None

    def __str__(self) -> str:
        return f"NatsSink({self._settings})"

    def attach(self, build: Build) -> None:
        """Hear which build it is, and where its files are."""
        run_id = build.snapshot.tracker.run_id
        self._builds[run_id] = build
        self._unheard.add(run_id)

    async def write(self, snapshot: Snapshot, /) -> None:
        """Have a build published, of which this is the newest snapshot; returns at once."""
        if not self._courier or self._courier.gone:
            self._courier = Courier(self._settings, self._project, self._clock)
            self._roots.clear()
        courier, key = self._courier, (snapshot.task_id, snapshot.tracker.run_id)
        run = courier.runs.get(key) or self._begin(courier, *key)
        run.tell(snapshot)

    async def aclose(self) -> None:
        """Return when all is delivered, or cannot be; the last build ends all here.

        While others go on nobody waits: this one would hold up their snapshots.
        """
        self._unheard.intersection_update(self._builds)  # the others are gone
        for build in [*filter(None, map(self._builds.get, self._unheard))]:
            if build.snapshot.terminal:  # it has come and gone while another one was waited for
                await self.write(build.snapshot)
        courier = self._courier
        if not courier:
            return

        def is_done() -> bool:
            runs = courier.runs.values()
            return not runs or any(run.lives for run in runs)

        self._leaving += 1
        try:
            await courier.line.settle(is_done)
        finally:
            self._leaving -= 1
            if not self._leaving and not any(run.lives for run in courier.runs.values()):
                self._courier = None
                await courier.close()

    def _begin(self, courier: Courier, task_id: str, run_id: str) -> Run:
        """Return a run that is new, and look below its root for those that are left.

        Once, but of the task itself each time: a run that was killed has got its end only now.
        """
        self._unheard.discard(run_id)
        build = self._builds.get(run_id)
        root = root_of(build.folder) if build and build.folder else None
        run = courier.add(task_id, run_id, root, is_due=False, builder=build, lives=True)
        if root:
            courier.start(_add_left(courier, root, task_id if root in self._roots else ""))
            self._roots.add(root)
        return run


async def _add_left(courier: Courier, root: str, task_id: str) -> None:
    """Have those runs below a root, or of one task, delivered that are due and left."""
    with suppress(OSError, GuardKitError):
        for key in await courier.call(find_left, root, courier.to, task_id):
            if key not in courier.runs:
                courier.add(*key, root)
