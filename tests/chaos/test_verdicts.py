"""What a reader concludes, in real situations."""

from collections.abc import Callable
from pathlib import Path

from .forking import join_workers, start_worker
from .tally import Row


def test_no_verdict_on_any_situation_is_wrong(
    tmp_path: Path, tally: Callable[[str], Row], trials: Callable[[int, int], int]
) -> None:
    workers = []
    for number in range(2):
        root = tmp_path / str(number)
        root.mkdir()
        workers.append(start_worker("judging", root, trials(1, 7)))
    assert join_workers(workers, tally("verdicts"))["wrong"] == []
