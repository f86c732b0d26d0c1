"""Another kind of build, without turns, and with a sink of its own beside the file.

Run:    python examples/custom_orchestrator.py
Prints:
    Fetch: completed
    Index: failed
    Report: completed
    the build: failed, 1 phase of 3 has failed
"""

import asyncio
from tempfile import TemporaryDirectory

from guardkit import Snapshot, track_build


class Lines:  # a sink: slow, hung or raising, it holds up no build
    transitions = True  # every one of them, in order; without this, only the newest snapshot
    last = ""

    async def write(self, snapshot: Snapshot) -> None:
        if snapshot.phase != self.last and snapshot.phase_status in ("completed", "failed"):
            self.last = snapshot.phase
            print(f"{snapshot.phase}: {snapshot.phase_status}")


async def main(root: str) -> None:
    async with track_build("nightly", root=root, sinks=[Lines()]) as build:
        for name in ("Fetch", "Index", "Report"):
            async with build.phase(name, budget=60) as phase:
                if name == "Index":
                    phase.count(4200, 11800, "rows")
                    phase.fail("disk 3 is full")
        build.fail("1 phase of 3 has failed")
    print(f"the build: {build.snapshot.status}, {build.snapshot.error}")


with TemporaryDirectory() as folder:
    asyncio.run(main(folder))
