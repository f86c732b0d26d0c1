"""What a transition costs when its build is one of many, and has had many turns."""

from contextlib import AsyncExitStack
from pathlib import Path

from guardkit import Build, Turn, track_build

from .races import OURS, Round, Row, compare, race, timed_awaits
from .setting import Run, pin

LATE = "a transition in turn 1,000, among 10,000 builds"
EARLY = "in turn 1, alone"
TIMES = 10


async def measure(run: Run) -> list[Row]:
    """Hold a transition of an old build among many against one of a young build that is alone."""
    pin()
    builds, turns = run.pick(500, 10_000), run.pick(100, 1_000)
    async with AsyncExitStack() as stack:
        old = await stack.enter_async_context(_build(run.tmpfs / "crowd", turns))
        for number in range(2, builds + 1):
            build = track_build(f"TASK-{number}", root=run.tmpfs / "crowd", heartbeat=60)
            await stack.enter_async_context(build)
        for _ in range(turns - 1):
            async with old.turn() as turn, turn.phase("Player Implementation"):
                pass
        late = _phases(await stack.enter_async_context(old.turn()))

        async def early() -> float:
            async with _build(run.tmpfs / "alone", turns) as young, young.turn() as first:
                return await _phases(first)()

        return compare(LATE, await race({OURS: late, EARLY: early}, run.pick(20, 200)))


def _build(root: Path, turns: int) -> Build:
    root.mkdir(exist_ok=True)
    return track_build("TASK-1", root=root, turn_max=turns)


def _phases(turn: Turn) -> Round:
    async def phase() -> None:
        async with turn.phase("Player Implementation"):
            pass

    return timed_awaits(phase, TIMES, each=2)
