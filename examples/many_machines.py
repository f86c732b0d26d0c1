"""Two builds of half a minute that publish to NATS, to be watched from anywhere.

Run:    python examples/many_machines.py, where NATS_URL, or else this machine, has a server
Prints:
    TASK-1: completed
    TASK-2: completed
"""

import asyncio
import sys
from tempfile import TemporaryDirectory

from guardkit import track_build
from guardkit.nats import NatsSink

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 3.0  # that a phase takes


async def build(task_id: str, root: str, nats: NatsSink) -> None:
    async with track_build(task_id, turn_max=2, root=root, sinks=[nats]) as tracked:
        for decision in ("feedback", "approve"):
            async with tracked.turn() as turn:
                async with turn.phase("Player Implementation") as phase:
                    await asyncio.sleep(2 * SECONDS)
                    phase.update(files_created=turn.number)
                async with turn.phase("Coach Validation") as phase:
                    await asyncio.sleep(SECONDS)
                    phase.update(tests_passed=turn.number, tests_total=2)
                turn.decide(decision)
    print(f"{task_id}: {tracked.snapshot.status}")


async def main(root: str) -> None:
    nats = NatsSink()  # one for all builds: they share its connection
    await asyncio.gather(build("TASK-1", root, nats), build("TASK-2", root, nats))


with TemporaryDirectory() as folder:
    asyncio.run(main(folder))
