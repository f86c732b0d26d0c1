"""What a reader concludes, in real situations."""

import asyncio
import json
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from guardkit import Builds, track_build
from guardkit.testing import FakeClock

from .forking import folder_of, join_workers, start_worker
from .situations import AN_HOUR, elsewhere, put
from .tally import Tally


def test_no_verdict_on_any_situation_is_wrong(
    tmp_path: Path, tally: Tally, trials: Callable[[int, int], int]
) -> None:
    workers = []
    for number in range(2):
        root = tmp_path / str(number)
        root.mkdir()
        workers.append(start_worker("judging", root, trials(1, 7)))
    assert join_workers(workers, tally("Alive", "verdicts"))["wrong"] == []


@pytest.mark.anyio
@pytest.mark.parametrize("seconds", [0.0, AN_HOUR, -AN_HOUR], ids=["right", "behind", "ahead"])
async def test_who_watches_a_build_from_elsewhere_goes_by_its_own_time(
    seconds: float, tmp_path: Path, clock: FakeClock, tally: Tally
) -> None:
    row, beat = tally("Alive", "watched from elsewhere, clock set"), 60.0
    async with track_build("TASK-1", root=tmp_path, clock=clock, heartbeat=beat):
        document = json.loads((folder_of(tmp_path, "TASK-1") / "progress.json").read_bytes())
    document["status"] = "running"
    document["tracker"]["run_id"] = "another run"  # the journal does not tell how it ended
    elsewhere(document)
    for seq in (5, 6, 7):
        clock.jump(seconds)
        document["tracker"]["seq"] = seq
        put(tmp_path, "TASK-1", document)
        async with aclosing(Builds(tmp_path, clock=clock).watch(["TASK-1"])) as watch:
            states = [(await anext(watch)).verdict.state]
            change = asyncio.ensure_future(anext(watch))
            await clock.advance(3 * beat - 1.0)
            row["wrong"] += change.done()
            await clock.advance(3.0)
            states.append((await change).verdict.state)
        row["trials"] += 2
        row["faults"] += 1
        row["wrong"] += states != ["running", "lost"]
    assert row["wrong"] == 0
