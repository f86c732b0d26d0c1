"""Which runs below a root are to be delivered."""

import os
from collections.abc import Collection
from contextlib import suppress
from typing import NamedTuple

from guardkit.errors import GuardKitError
from guardkit.monitor.builds import Builds
from guardkit.monitor.changes import Changes
from guardkit.monitor.evidence import names_in
from guardkit.monitor.look import Look
from guardkit.nats.notes import read_notes
from guardkit.nats.streams import RUN_ID
from guardkit.progress.folder import Folder, open_builds
from guardkit.progress.journal import read_all
from guardkit.progress.paths import JOURNAL, PROGRESS, TASK_ID

LOOKS = 500  # builds that are looked at in one go, as each takes some memory meanwhile
GONE = {"completed", "failed", "cancelled", "crashed", "unreadable"}  # verdicts


class Due(NamedTuple):
    """A run that is to be delivered.

    lives: whether its builder is at work.
    new: whether it has just begun, or ended, so far as its files tell.
    """

    task_id: str
    run_id: str
    lives: bool
    new: bool = False


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
        self, changed: set[str] | None, doubted: set[str], held: Collection[tuple[str, str]]
    ) -> list[Due]:
        """Return what is to be delivered of builds that have changed; None: of any.

        doubted: tasks that are looked at in any case.
        held: the tasks and runs that are being delivered.
        """
        self._changes.watch()
        due: list[Due] = []
        with suppress(OSError, GuardKitError):
            with suppress(FileNotFoundError), open_builds(self._root) as builds:
                names = self._find_changed(builds) if changed is None else changed
                wanted = [*filter(TASK_ID.fullmatch, names | doubted)]
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
        return {stamps[stamp] for stamp in new}

    def _follow(self, builds: Folder, look: Look, held: Collection[tuple[str, str]]) -> list[Due]:
        """Return what is to be delivered of a build, and watch it for as long as it lives."""
        name, run_id, lives = look.task_id, _run_of(look), look.verdict.state not in GONE
        (self._changes.watch if lives else self._changes.leave)(name)
        due = [Due(name, run_id, lives)] if (name, run_id) in held else []
        if not (due and lives):
            for run in _find_due(builds, name, self._to, noted=False):
                is_it = run == run_id
                due.append(Due(name, run, lives and is_it, self._looked and is_it))
        return due


def find_left(root: str, to: str, task_id: str = "") -> list[Due]:
    """Return what is noted as due below a root, and is built by nobody now; for use in a thread.

    task_id: of that task alone; `""`: of all.
    Raises OSError, and InvalidProgressError, where the builds cannot be listed.
    """
    with open_builds(root) as builds:
        names = [task_id] if task_id else names_in(builds)
        due = {name: _find_due(builds, name, to, noted=True) for name in names}
    names = [name for name, runs in due.items() if runs]
    looks = Builds(root).look_now(names) if names else []
    built = {_run_of(look) for look in looks if look.verdict.state not in GONE}
    return [Due(name, run, lives=False) for name in names for run in due[name] if run not in built]


def _find_due(builds: Folder, name: str, to: str, *, noted: bool) -> list[str]:
    """Return the runs of a task that are not delivered; `noted`: those alone that are to be."""
    with suppress(OSError), builds.folder(name) as folder:
        notes = read_notes(folder, to)
        if noted:
            return [run for run, step in notes.items() if step == "due" and RUN_ID.fullmatch(run)]
        events = read_all(folder)[0]
        runs = dict.fromkeys(each.run_id for each in events if each.progress.task_id == name)
        return [run for run in runs if notes.get(run) != "done" and RUN_ID.fullmatch(run)]
    return []


def _run_of(look: Look) -> str:
    return look.snapshot.tracker.run_id if look.snapshot else ""


def _stamp(builds: Folder, name: str) -> int:
    """Return a number that tells the files of a build from those of before."""
    found: list[object] = [name]
    for file in (PROGRESS, JOURNAL):
        with suppress(OSError):
            status = os.stat(f"{name}/{file}", dir_fd=builds.fd, follow_symlinks=False)
            found += [status.st_ino, status.st_size, status.st_mtime_ns]
    return hash(tuple(found))
