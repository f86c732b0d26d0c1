"""What a build costs when it is one of many, and when it is old."""

from contextlib import AsyncExitStack
from pathlib import Path

from guardkit import Turn, track_build

from .bounds import WITH_BUILDS, WITH_TURNS
from .races import OURS, Round, Row, compare, limit, race, timed_awaits
from .setting import Run, pin

TIMES = 20


async def measure(run: Run) -> list[Row]:
    """Hold one of many builds against one alone, and a late turn against the first."""
    pin()
    return [*await _with_builds(run), *await _with_turns(run), *_on_disk(run)]


async def _with_builds(run: Run) -> list[Row]:
    builds = run.pick(1_000, 10_000)
    crowd, alone = run.tmpfs / "crowd", run.tmpfs / "alone"
    async with AsyncExitStack() as stack:
        turns: list[Turn] = []
        for root in (crowd, alone):
            root.mkdir()
            build = await stack.enter_async_context(track_build("TASK-1", root=root))
            turns.append(await stack.enter_async_context(build.turn()))
        for number in range(2, builds + 1):
            await stack.enter_async_context(track_build(f"TASK-{number}", root=crowd, heartbeat=60))
        rounds = run.pick(40, 200)
        phases = {OURS: _phases(turns[0]), "a transition of one alone": _phases(turns[1])}
        rows = compare(WITH_BUILDS, await race(phases, rounds))
        enters = {OURS: _builds(crowd), "entering + leaving one alone": _builds(alone)}
        return rows + compare(WITH_BUILDS, await race(enters, rounds // 2))


def _phases(turn: Turn) -> Round:
    async def phase() -> None:
        async with turn.phase("Player Implementation"):
            pass

    return timed_awaits(phase, TIMES // 2, each=2)


def _builds(root: Path) -> Round:
    async def build() -> None:
        async with track_build("TASK-0", root=root):
            pass

    return timed_awaits(build, TIMES // 4)


async def _with_turns(run: Run) -> list[Row]:
    turns = run.pick(300, 1_000)
    old_root, young_root = run.tmpfs / "old", run.tmpfs / "young"
    old_root.mkdir()
    young_root.mkdir()
    async with track_build("TASK-1", root=old_root, turn_max=turns) as old:
        for _ in range(turns - 1):
            async with old.turn() as turn, turn.phase("Player Implementation"):
                pass
        async with old.turn() as last:
            late = _phases(last)

            async def early() -> float:
                async with track_build("TASK-1", root=young_root) as young, young.turn() as first:
                    return await _phases(first)()

            rounds = {OURS: late, "a transition in turn 1": early}
            return compare(WITH_TURNS, await race(rounds, run.pick(40, 200)))


def _on_disk(run: Run) -> list[Row]:
    """Return the size of the files of the build that has had all its turns."""
    folder = run.tmpfs / "old/.guardkit/autobuild/TASK-1"
    progress = [float((folder / "progress.json").stat().st_size)]
    journal = [float(sum(path.stat().st_size for path in folder.glob("events.jsonl*")))]
    return [
        limit("the progress file, on disk", "4 KiB", progress, 4 * 2**10, unit="B"),
        limit("the journal of all turns, on disk", "two of 4 MiB", journal, 8 * 2**20, unit="B"),
    ]
