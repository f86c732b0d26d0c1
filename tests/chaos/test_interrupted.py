"""Builds that are used by signal handlers and finalisers."""

from collections.abc import Callable
from pathlib import Path

from .forking import join_workers, start_worker
from .tally import Tally


def test_whatever_signal_handlers_and_finalisers_interrupt_nothing_hangs_and_nothing_is_lost(
    tmp_path: Path, tally: Tally, trials: Callable[[int, int], int]
) -> None:
    row = tally("Coalesced", "signal handlers and finalisers")
    worker = start_worker("interrupting", tmp_path, 1000, trials(1, 20))
    assert join_workers([worker], row)["wrong"] == []
    assert (row["lost"], row["leftovers"]) == (0, 0)
