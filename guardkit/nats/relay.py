"""Publishes all builds below a root, whether or not they know of it."""

import os
from collections.abc import Collection
from contextlib import suppress
from typing import NamedTuple

from guardkit.clock import SYSTEM_CLOCK, Clock
from guardkit.errors import GuardKitError
from guardkit.monitor.builds import Builds
from guardkit.monitor.changes import Changes
from guardkit.monitor.evidence import names_in, stamp_of
from guardkit.monitor.look import Look
from guardkit.nats.courier import Courier
from guardkit.nats.notes import GONE, find_due, run_of
from guardkit.nats.settings import find_project, find_settings
from guardkit.progress.folder import Folder, open_builds
from guardkit.progress.paths import JOURNAL, PROGRESS, builds_dir, is_task_id

CHECK_EVERY = 10.0  # seconds between two looks whether builders that are silent still live
LOOKS = 500  # builds that are looked at in one go, as each takes some memory meanwhile
ROOM = 1000  # runs that are delivered side by side; those of the past wait for it


class Due(NamedTuple):
    """A run that is to be delivered.

    lives: whether its builder is at work.
    new: whether it has just begun, or ended, so far as its files tell.
    """

    task_id: str
    run_id: str
    lives: bool
    new: bool = False


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
                names, check_at = {""}, clock.monotonic() + CHECK_EVERY
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


class Scan:
    """Finds what is to be delivered below a root; for use in a thread.

    Of builds that have ended it keeps a number each, and no watch.

    to: the servers and the project, as they are noted.
    changes: is told which folders to watch.
    """

    def __init__(self, root: str, to: str, changes: Changes) -> None:
        self._root, self._to, self._changes = root, to, changes
        self._builds = Builds(root)
        self._stamps: set[int] = set()  # of all files, as they were seen last
        self._looked = False  # so that what has changed has done so since

    def look(
        self, changed: set[str], doubted: set[str], held: Collection[tuple[str, str]]
    ) -> list[Due]:
        """Return what is to be delivered of builds that have changed; "": of any.

        doubted: tasks that are looked at in any case.
        held: the tasks and runs that are being delivered.
        """
        self._changes.watch()
        due: list[Due] = []
        with suppress(OSError, GuardKitError):
            with suppress(FileNotFoundError), open_builds(self._root) as builds:
                names = self._find_changed(builds) if "" in changed else changed
                wanted = [*filter(is_task_id, names | doubted)]
                for start in range(0, len(wanted), LOOKS):
                    for look in self._builds.look_now(wanted[start : start + LOOKS]):
                        due += self._follow(builds, look, held)
            self._looked = True  # though nothing was built yet
        return due

    def _find_changed(self, builds: Folder) -> set[str]:
        """Return the names of the builds whose files are not as they were seen last."""
        stamps = {_stamp(builds, name): name for name in names_in(builds)}
        new = stamps.keys() - self._stamps
        self._stamps = {*stamps}
        return {stamps[each] for each in new}

    def _follow(self, builds: Folder, look: Look, held: Collection[tuple[str, str]]) -> list[Due]:
        """Return what is to be delivered of a build, and watch it for as long as it lives."""
        name, run_id, lives = look.task_id, run_of(look), look.verdict.state not in GONE
        (self._changes.watch if lives else self._changes.leave)(name)
        due = [Due(name, run_id, lives)] if (name, run_id) in held else []
        if not (due and lives):
            for run in find_due(builds, name, self._to, noted=False):
                is_it = run == run_id
                due.append(Due(name, run, lives and is_it, self._looked and is_it))
        return due


def _stamp(builds: Folder, name: str) -> int:
    """Return a number that tells the files of a build from those of before."""
    files = (stamp_of(builds, f"{name}/{file}") for file in (PROGRESS, JOURNAL))
    return hash((name, *files))
