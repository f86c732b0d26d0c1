"""Where the commands look for builds: below a root, or on a NATS server."""

from __future__ import annotations

from contextlib import contextmanager, suppress

from guardkit.cli.streams import complain
from guardkit.errors import GuardKitError, ProgressNotFoundError, nearest

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterable

    from guardkit.monitor.builds import Builds
    from guardkit.monitor.look import Look


class Finder:
    """What finds builds.

    builds: those that are there.
    name: where that is, as the end of a sentence.
    """

    def __init__(self, builds: Builds, name: str) -> None:
        self.builds = builds
        self.name = name

    def find_missing(self, ids: Iterable[str], looks: Collection[Look]) -> list[int]:
        """Complain of builds that are not there; return an exit code for each."""
        seen = {look.task_id for look in looks}
        return [complain(self.not_found(each)) for each in dict.fromkeys(ids) if each not in seen]

    def not_found(self, task_id: str) -> ProgressNotFoundError:
        """Return what to raise where there is no build of a task; it names the nearest one."""
        known: list[str] = []
        with suppress(GuardKitError):
            known = [look.task_id for look in self.builds.look_now()]
        near = nearest(task_id, known)
        return ProgressNotFoundError(f"no build of {task_id} is known {self.name}{near}")


@contextmanager
def finding(
    root: str,
    nats: str | None,
    ids: Collection[str],
    *,
    stall_after: float = 1800.0,
    history: bool = False,
) -> Generator[Finder]:
    """Give what finds some builds, by default all.

    root: the folder in which `.guardkit` is.
    nats: the URL of a server that counts instead, None: the root.
    ids: the tasks that are looked for.
    stall_after: seconds without activity that make a build stalled.
    history: whether their journals are wanted, too.
    """
    from guardkit.monitor.builds import Builds

    if nats is None:
        yield Finder(Builds(root, stall_after=stall_after), f"below {root}")
        return
    from guardkit.nats.mirror import mirrored
    from guardkit.nats.settings import find_settings

    settings = find_settings(nats)
    with mirrored(settings, ids, history=history) as mirror:
        builds = Builds(mirror.root, stall_after=stall_after, silence=mirror.silence)
        yield Finder(builds, f"on {settings}")
