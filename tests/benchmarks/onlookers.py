"""A process that looks at a build, and prints when it saw each phase first."""

import asyncio
import re
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from guardkit import Snapshot, watch_progress

LAST = "phase-last"
PHASE = re.compile(r"phase-\w+")


def watch(place: str, task_id: str) -> AsyncGenerator[Snapshot]:
    """Watch a build below a root, or what is published of it to a NATS server."""
    if "://" not in place:
        return watch_progress(task_id, root=place)
    from guardkit.nats import follow

    return follow(task_id, place)


async def look(place: str, task_id: str) -> None:
    """Print the time of each phase when it comes first, until the last one has come."""
    seen: dict[str, float] = {}
    async with aclosing(watch(place, task_id)) as snapshots:
        async for snapshot in snapshots:
            at = time.monotonic()
            if not seen:
                print("looking", flush=True)
            seen.setdefault(snapshot.phase, at)
            if snapshot.phase == LAST:
                break
    for name, at in seen.items():
        if PHASE.fullmatch(name):
            print(name, at)


if __name__ == "__main__":
    asyncio.run(look(*sys.argv[1:]))
