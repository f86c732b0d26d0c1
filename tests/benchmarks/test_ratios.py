"""The short form: fails on what is clearly past its bound, and never on an absolute time."""

import sys

import pytest

from .__main__ import SUBJECTS, measure_apart
from .table import is_clearly_past, render_rows

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="measures what Linux does")
TRIES = 3  # other tests run beside this one


@pytest.mark.parametrize("subject", SUBJECTS)
def test_no_ratio_is_clearly_past_its_bound(subject: str) -> None:
    for _ in range(TRIES):
        rows = measure_apart(subject, short=True)
        assert rows
        if not any(map(is_clearly_past, rows)):
            return
    pytest.fail(f"clearly past the bound, {TRIES} times:\n{render_rows(rows)}")
