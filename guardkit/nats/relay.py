"""Publishes all builds below a root, whether or not they know of it."""

import os

from guardkit.clock import SYSTEM_CLOCK, Clock
from guardkit.monitor.changes import Changes
from guardkit.nats.courier import Courier
from guardkit.nats.scan import Due, Scan
from guardkit.nats.settings import find_project, find_settings
from guardkit.progress.paths import builds_dir

CHECK_EVERY = 10.0  # seconds between two looks whether builders that are silent still live
ROOM = 1000  # runs that are delivered side by side; those of the past wait for it

Waiting = dict[tuple[str, str], Due]  # by task and run


class Relay:
    """Delivers what all builds below a root tell, those of the past that are not yet, too.

    url, project, clock: as for `NatsSink`.
    root: the folder in which `.guardkit` is.
    Raises as `NatsSink`.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        root: str | os.PathLike[str] = ".",
        project: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._settings = find_settings(url)
        self._project = find_project(project)
        self._root = os.path.abspath(root)
        self._clock = clock or SYSTEM_CLOCK

    def __str__(self) -> str:
        return str(self._settings)

    async def run(self) -> None:
        """Deliver until cancelled."""
        courier, clock = Courier(self._settings, self._project, self._clock), self._clock
        try:
            async with Changes(builds_dir(self._root), clock) as changes:
                scan, waiting = Scan(self._root, courier.to, changes), Waiting()
                names, check_at = None, clock.monotonic() + CHECK_EVERY
                while True:
                    living = {run.task_id for run in courier.runs.values() if run.lives}
                    is_time = clock.monotonic() >= check_at
                    check_at += CHECK_EVERY * is_time
                    doubted = living if is_time else set[str]()
                    held = {*courier.runs, *waiting}
                    found = await changes.call(scan.look, names, doubted, held)
                    waiting |= {due[:2]: due for due in found}
                    self._deliver(courier, waiting)
                    names = await changes.next()
        finally:
            await courier.close()

    def _deliver(self, courier: Courier, waiting: Waiting) -> None:
        """Have those delivered that live, and of the others as many as there is room for."""
        for key, due in [*waiting.items()]:
            if run := courier.runs.get(key):
                run.look(lives=due.lives)
            elif due.lives or len(courier.runs) < ROOM:
                courier.add(*key, self._root, new=due.new, lives=due.lives)
            else:
                waiting[key] = due._replace(new=False)
                continue
            del waiting[key]
