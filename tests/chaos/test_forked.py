"""Builds that fork in their body."""

from collections.abc import Callable
from pathlib import Path

from .forking import join_workers, start_worker
from .tally import Tally


def test_a_child_that_leaves_the_build_of_its_parent_keeps_silent(
    tmp_path: Path, tally: Tally, trials: Callable[[int, int], int]
) -> None:
    row = tally("Final", "fork in the body")
    worker = start_worker("parting", tmp_path, trials(10, 300))
    assert join_workers([worker], row)["wrong"] == []
    assert row["leftovers"] == 0
