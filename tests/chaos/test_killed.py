"""Builders that are killed with SIGKILL, whatever they are at."""

import json
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from .forking import join_workers, leftovers, start_worker
from .killing import PARTS
from .tally import Row, Tally

WORKERS = 2


def kill_builds(part: str, root: Path, each: int, row: Row) -> list[str]:
    """Kill `each` builds in each of some workers; return what was wrong with what they left."""
    workers = []
    for number in range(WORKERS):
        folder = root / str(number)
        folder.mkdir()
        workers.append(start_worker("killing", part, folder, each, number))
    return join_workers(workers, row)["wrong"]


def read_lines(journal: Path) -> list[dict[str, Any]]:
    """Return the events of a journal; half a line, which a death may leave, is none."""
    events = []
    for line in journal.read_bytes().splitlines():
        with suppress(ValueError):
            events.append(json.loads(line))
    return events


@pytest.mark.parametrize("part", PARTS)
def test_a_killed_build_leaves_a_whole_file_is_known_dead_and_taken_over(
    part: str, tmp_path: Path, tally: Tally, trials: Callable[[int, int], int]
) -> None:
    row = tally("Whole", f"kill -9 in {part}")
    wrong = kill_builds(part, tmp_path, trials(5, 125), row)
    row["leftovers"] += len(leftovers(tmp_path))
    assert wrong == []
    assert (row["torn"], row["leftovers"]) == (0, 0)


@pytest.mark.parametrize("part", PARTS)
def test_the_next_build_closes_a_killed_run_in_the_journal(
    part: str, tmp_path: Path, tally: Tally, trials: Callable[[int, int], int]
) -> None:
    row = tally("Final", "kill -9, then the journal")
    assert kill_builds(part, tmp_path, trials(3, 50), row) == []
    for journal in tmp_path.rglob("events.jsonl"):
        if journal.parent.name == "TASK-0":  # which was to measure, and had no next build
            continue
        events = read_lines(journal)
        begun = Counter(each["run_id"] for each in events if each["event"] == "build.started")
        ended = Counter(each["run_id"] for each in events if each["event"] == "build.ended")
        assert set(begun.values()) == set(ended.values()) == {1}, journal
        assert begun.keys() <= ended.keys(), journal
