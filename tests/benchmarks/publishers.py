"""Builds that publish to NATS by the hundred, and one who joins them late: a process for each."""

import asyncio
import sys
from contextlib import aclosing
from random import Random
from time import perf_counter

from guardkit import track_build
from guardkit.nats import NatsBuilds, NatsSink

PHASE = 10  # seconds that a phase takes; in each of them the build changes


async def publish(sink: NatsSink, root: str, task_ids: list[str]) -> None:
    """Run builds that are busy at different moments, until cancelled."""
    await asyncio.gather(*(_build(sink, root, task_id) for task_id in task_ids))


async def _build(sink: NatsSink, root: str, task_id: str) -> None:
    odd = Random(task_id)  # noqa: S311 - the same moments in each run
    async with track_build(task_id, root=root, sinks=[sink]) as build, build.turn() as turn:
        await asyncio.sleep(odd.random())
        seconds = odd.randrange(PHASE)
        while True:
            async with turn.phase("Player Implementation", budget=900):
                for second in range(seconds, PHASE):
                    build.update(files_created=second, message=f"writing test {second}")
                    await asyncio.sleep(1)
            seconds = 0


async def join(url: str, builds: int) -> float:
    """Return in how many seconds one who joins knows the state of so many builds."""
    start, known = perf_counter(), set[str]()
    async with aclosing(NatsBuilds(url).watch()) as looks:
        async for look in looks:
            known.add(look.task_id)
            if len(known) == builds:
                break
        return perf_counter() - start


def ids(first: int, count: int) -> list[str]:
    """Return the ids of some tasks."""
    return [f"TASK-{number}" for number in range(first, first + count)]


def main() -> None:
    """Publish to a server, from a root, builds with numbers from one on; or join as many."""
    match sys.argv[1:]:
        case ["publish", url, root, first, count]:
            asyncio.run(publish(NatsSink(url), root, ids(int(first), int(count))))
        case ["join", url, count]:
            print(asyncio.run(join(url, int(count))))


if __name__ == "__main__":
    main()
