"""Builds that have run for hours, in a moment: what their journals are then."""

import asyncio
import random
from pathlib import Path

from guardkit import Build, track_build
from guardkit.progress.scopes import Wave
from guardkit.testing import FakeClock

PLAYER, COACH = "Player Implementation", "Coach Validation"
EVIL = "<script>alert('x')</script>]]>&amp;\"`|\\ @everyone #1 \x1b[31m\u202e"


async def three_turns(build: Build, clock: FakeClock) -> None:
    """Run what a real build does: feedback twice, then approval; 725 seconds in all."""
    async with build.phase("Setup"):
        await clock.advance(12)
    passed = (4, 8, 9)
    for number, player, coach in ((1, 260, 34), (2, 200, 30), (3, 140, 31)):
        async with build.turn() as turn:
            async with turn.phase(PLAYER, budget=240) as phase:
                await clock.advance(player / 2)
                async with phase.phase("Run tools"):
                    await clock.advance(player / 4)
                build.update(files_created=number * 2, files_modified=number)
                await clock.advance(player / 4)
            async with turn.phase(COACH):
                await clock.advance(coach)
                build.update(tests_passed=passed[number - 1], tests_total=9)
            word = "approve" if number == 3 else "feedback"
            turn.decide(word, f"{passed[number - 1]} of 9 tests passed")
        await clock.advance(2)
    async with build.phase("Finalize"):
        await clock.advance(12)
    build.decide("approved", "what was tested is on autobuild/TASK-1")


async def build_task(root: Path, clock: FakeClock, task_id: str = "TASK-1") -> None:
    """Run a task with three turns below a root."""
    name = "Implement text output fallback"
    async with track_build(task_id, task_name=name, root=root, clock=clock) as build:
        await three_turns(build, clock)


async def build_once(
    root: Path, clock: FakeClock, player: float, coach: float, *, task_id: str = "TASK-1"
) -> None:
    """Run a task with one turn, whose phases take so many seconds."""
    async with track_build(task_id, root=root, clock=clock) as build, build.turn() as turn:
        async with turn.phase(PLAYER):
            await clock.advance(player)
        async with turn.phase(COACH):
            await clock.advance(coach)
        turn.decide("approve")


async def _take_task(
    wave: Wave, number: int, clock: FakeClock, room: asyncio.Semaphore, took: tuple[int, int]
) -> None:
    name = f"Part {number}"
    async with room, wave.task(f"TASK-{number:02}", task_name=name) as build:
        for turn_number in range(took[1] % 3 + 1):
            async with build.turn() as turn:
                async with turn.phase(PLAYER):
                    await clock.sleep(took[0])
                    build.update(files_created=turn_number + 1)
                async with turn.phase(COACH):
                    await clock.sleep(took[1])
                    build.update(tests_passed=3 + turn_number, tests_total=5)
                turn.decide("approve" if turn_number == took[1] % 3 else "feedback")
        if number == 7:
            build.fail("no turn was approved")


async def build_feature(
    root: Path, clock: FakeClock, *, waves: tuple[int, ...] = (6, 8, 4, 2), at_once: int = 4
) -> None:
    """Run a feature of some tasks in each wave, a few of them at once."""
    rolls, number = random.Random(7), 0  # noqa: S311 - the same each time
    async with track_build(
        "FEAT-1",
        task_name="Text everywhere",
        build_type="feature",
        wave_total=len(waves),
        task_total=sum(waves),
        root=root,
        clock=clock,
    ) as feature:
        async with feature.phase("Setup"):
            await clock.advance(20)
        for index, many in enumerate(waves, 1):
            async with feature.wave(index) as wave:
                room, running = asyncio.Semaphore(at_once), list[asyncio.Task[None]]()
                for _ in range(many):
                    number += 1
                    took = rolls.randint(60, 400), rolls.randint(20, 60)
                    work = _take_task(wave, number, clock, room, took)
                    running.append(asyncio.create_task(work))
                while not all(each.done() for each in running):
                    await clock.advance(5)
                await asyncio.gather(*running)
