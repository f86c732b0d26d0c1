"""The journals of many tasks: what earlier builds took, and what the tasks of a feature did."""

from __future__ import annotations

from contextlib import suppress

from guardkit.errors import GuardKitError
from guardkit.places.order import natural

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator

    from guardkit.monitor.look import Source
    from guardkit.progress.snapshot import Event

NEAR = 50  # journals of other tasks that are read
NEAR_MAX, EVENTS_MAX = 20_000, 200_000  # events of these, and of any journals that are read
AT_ONCE = 8  # connections to a server


def near(task_id: str, others: Iterable[str], most: int = NEAR) -> list[str]:
    """Return the ids that stand next to one when all are sorted, the one itself excepted."""
    names = sorted({*others, task_id}, key=natural)
    at = names.index(task_id)
    names.remove(task_id)
    start = max(0, min(at - most // 2, len(names) - most))
    return names[start : start + most]


def read_near(task_id: str, root: str | os.PathLike[str]) -> Iterator[list[Event]]:
    """Yield the journals of some other tasks below a root; those that cannot be read are left out.

    They are read one by one, as long as they are asked for.
    """
    from guardkit.progress.folder import open_builds
    from guardkit.progress.journal import read_events
    from guardkit.progress.paths import is_task_id

    names: list[str] = []
    with suppress(OSError), open_builds(root) as folder:
        names = [name for name in folder.names() if is_task_id(name)]
    count = 0
    for name in near(task_id, names):
        with suppress(GuardKitError):
            events = read_events(name, root=root)
            count += len(events)
            yield events
        if count > NEAR_MAX:
            return


async def read_journals(
    builds: Source, ids: Iterable[str], events_max: int = EVENTS_MAX
) -> dict[str, list[Event]]:
    """Return the journals of some tasks; those that cannot be read are left out.

    events_max: of all of them; when there are so many, no more are read.
    """
    from anyio import CapacityLimiter, create_task_group

    found: dict[str, list[Event]] = {}
    limiter = CapacityLimiter(AT_ONCE)

    async def read(name: str) -> None:
        async with limiter:
            if sum(map(len, found.values())) < events_max:
                with suppress(GuardKitError):
                    found[name] = await builds.events(name)

    async with create_task_group() as group:
        for name in ids:
            group.start_soon(read, name)
    return found
