"""A process that looks at a build, and prints when it saw each phase first."""

import asyncio
import re
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from guardkit import watch_progress

LAST = "phase-last"
PHASE = re.compile(r"phase-\w+")


async def watch(place: str, task_id: str) -> AsyncGenerator[str]:
    """Yield the phases of a build below a root, or on a NATS server, as they are seen."""
    if "://" not in place:
        async with aclosing(watch_progress(task_id, root=place)) as snapshots:
            async for snapshot in snapshots:
                yield snapshot.phase
        return
    from guardkit.nats import NatsBuilds

    async with aclosing(NatsBuilds(place).watch(task_id)) as looks:
        async for look in looks:
            for event in look.events:
                yield event.progress.phase
            if look.snapshot:
                yield look.snapshot.phase


async def look(place: str, task_id: str) -> None:
    """Print the time of each phase when it comes first, until the last one has come."""
    seen: dict[str, float] = {}
    async with aclosing(watch(place, task_id)) as phases:
        async for phase in phases:
            at = time.monotonic()
            if not seen:
                print("looking", flush=True)
            seen.setdefault(phase, at)
            if phase == LAST:
                break
    for name, at in seen.items():
        if PHASE.fullmatch(name):
            print(name, at)


if __name__ == "__main__":
    asyncio.run(look(*sys.argv[1:]))
