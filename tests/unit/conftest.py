"""What tests of looks at builds have in common."""

from pathlib import Path

import pytest

from guardkit import Builds
from guardkit.testing import FakeClock

from ..looks import Writer


@pytest.fixture
def writer(tmp_path: Path, clock: FakeClock) -> Writer:
    return Writer(tmp_path, clock)


@pytest.fixture
def builds(tmp_path: Path, clock: FakeClock) -> Builds:
    return Builds(tmp_path, clock=clock)
