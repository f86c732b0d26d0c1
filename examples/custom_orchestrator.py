"""Another kind of build, without turns, and with a sink of its own beside the file.
Run:    python examples/custom_orchestrator.py
Prints:
    Fetch: completed
    Index: failed
    Report: completed
    the build: failed, 1 step of 3 has failed
"""

import asyncio
from tempfile import TemporaryDirectory

from guardkit import Snapshot, track_build


class Lines:
    """A sink: it may be slow, hang or raise, and the build does not notice."""

    transitions = True  # every one of them, in order; without this, only the newest snapshot
    last = ""

    async def write(self, snapshot: Snapshot) -> None:
        if snapshot.phase != self.last and snapshot.phase_status in ("completed", "failed"):
            self.last = snapshot.phase
            print(f"{snapshot.phase}: {snapshot.phase_status}")


async def main(root: str) -> None:
    async with track_build("nightly", build_type="feature", root=root, sinks=[Lines()]) as build:
        for step in ("Fetch", "Index", "Report"):
            async with build.phase(step, budget=60) as phase:
                if step == "Index":
                    phase.fail("disk 3 is empty")
        build.fail("1 step of 3 has failed")
    print(f"the build: {build.snapshot.status}, {build.snapshot.error}")


with TemporaryDirectory() as folder:
    asyncio.run(main(folder))
