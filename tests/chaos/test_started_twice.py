"""Two builders that are started on one task at the same instant."""

from collections.abc import Callable
from pathlib import Path

from .forking import join_workers, leftovers, start_worker
from .tally import Tally


def test_of_two_builders_started_at_once_one_runs_and_the_other_writes_nothing(
    tmp_path: Path, tally: Tally, trials: Callable[[int, int], int]
) -> None:
    row = tally("Alone", "two builders at once")
    worker = start_worker("racing", tmp_path, trials(20, 500))
    assert join_workers([worker], row)["wrong"] == []
    row["leftovers"] += len(leftovers(tmp_path))
    assert row["leftovers"] == 0


def test_of_two_builders_started_at_once_the_one_that_is_refused_learns_who_runs(
    tmp_path: Path, tally: Tally, trials: Callable[[int, int], int]
) -> None:
    row = tally("Alone", "two builders at once, the refusal")
    worker = start_worker("racing", tmp_path, trials(20, 100))
    assert join_workers([worker], row)["unnamed"] == []
