"""Makes the README's picture of a timeline, docs/timeline.svg, of a feature that a clock has faked.

Run: python docs/timeline.py
"""

import asyncio
import random
import tempfile
from pathlib import Path

from guardkit import Builds, track_build
from guardkit.places.report.material import make_report
from guardkit.places.timeline.svg import draw
from guardkit.progress.scopes import Wave
from guardkit.testing import FakeClock

NAMES = (("config", "prices"), ("cart", "taxes", "rebates"), ("checkout",))
DICE = random.Random(1)  # noqa: S311 - the same picture each time


async def build_task(wave: Wave, name: str, clock: FakeClock, start: asyncio.Semaphore) -> None:
    """Play a task: its turns, of which the last one is approved."""
    turns = DICE.randint(1, 3)
    took = [(DICE.randint(90, 420), DICE.randint(20, 60)) for _ in range(turns)]
    async with start, wave.task(f"TASK-{name}") as build:
        for number, (player, coach) in enumerate(took, 1):
            async with build.turn() as turn:
                async with turn.phase("Player Implementation", budget=400):
                    await clock.sleep(player)
                    build.update(files_created=number, files_modified=number)
                async with turn.phase("Coach Validation"):
                    await clock.sleep(coach)
                    build.update(tests_passed=3 * number, tests_total=3 * turns)
                turn.decide("approve" if number == turns else "feedback")


async def play(root: Path, clock: FakeClock) -> None:
    """Play the feature, two tasks at a time."""
    feature = track_build(
        "FEAT-SHOP",
        task_name="A shop that knows its taxes",
        build_type="feature",
        wave_total=len(NAMES),
        task_total=sum(map(len, NAMES)),
        root=root,
        clock=clock,
    )
    async with feature:
        for number, names in enumerate(NAMES, 1):
            async with feature.wave(number) as wave:
                start = asyncio.Semaphore(2)
                work = (build_task(wave, name, clock, start) for name in names)
                running = [*map(asyncio.create_task, work)]
                while not all(task.done() for task in running):
                    await clock.advance(1.0)
                if number == 1:
                    clock.jump(5400.0)  # the machine sleeps


async def main() -> None:
    """Write the picture next to this file."""
    clock = FakeClock()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        await play(root, clock)
        report = await make_report(Builds(root, clock=clock), "FEAT-SHOP")
    picture = draw(report.timeline, width=880)
    Path(__file__).with_name("timeline.svg").write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(main())
