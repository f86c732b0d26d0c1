from itertools import pairwise

import pytest

from guardkit import errors
from guardkit.cli.codes import BY_STATE, of_error, worst

WORSE = (0, 8, 1, 3, 5, 4, 6, 7)  # from the best, as the contract has it


@pytest.mark.parametrize(("better", "worse"), [*pairwise(WORSE)])
def test_of_several_codes_the_worst_counts(better: int, worse: int) -> None:
    assert worst([better, worse]) == worst([worse, better]) == worse


def test_of_no_build_nothing_is_known() -> None:
    assert worst([]) == 6


def test_each_state_has_a_code() -> None:
    assert BY_STATE == {
        "running": 0,
        "completed": 0,
        "failed": 1,
        "cancelled": 3,
        "crashed": 4,
        "lost": 4,
        "unresponsive": 5,
        "overdue": 5,
        "stalled": 5,
        "unreadable": 7,
    }


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.MisuseError(), 2),
        (errors.InvalidTaskIdError(), 2),
        (errors.TaskNotFoundError(), 2),
        (errors.InvalidTaskError(), 7),
        (errors.ProgressNotFoundError(), 6),
        (errors.InvalidProgressError(), 7),
        (errors.BuildAlreadyRunningError(), 7),
        (errors.NatsError(), 7),
        (errors.WorkspaceError(), 7),
        (PermissionError(), 7),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_no_error_is_taken_for_a_build_that_has_failed(error: Exception, code: int) -> None:
    assert of_error(error) == code
