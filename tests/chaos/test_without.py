"""What a build and its readers do where the kernel lacks something: locks, inotify, or both.

So it is on other systems than Linux, too, as far as that can be tried here.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from . import refusing
from .forking import join_workers, start_worker
from .mounts import mounted
from .tally import Tally

REFUSING = (sys.executable, refusing.__file__)
NO_INOTIFY = 'echo 0 > /proc/sys/user/max_inotify_instances && exec "$@"'
UNWATCHED = ("unshare", "--user", "--map-root-user", "sh", "-c", NO_INOTIFY, "sh")
FORWARDING = "--enable-lock-forwarding", "--multithreaded"  # as those of one process: the server

LACKS = {
    "nothing": ((), True, False),
    "locks": (REFUSING, False, False),
    "locks that are not granted to all": ((), False, True),
    "inotify": (UNWATCHED, True, False),
    "both": ((*UNWATCHED, *REFUSING), False, False),
}


@pytest.fixture
def root(tmp_path: Path, *, on_mount: bool) -> Iterator[Path]:
    """Make a root; on a mount that grants every lock to everybody, if asked for."""
    if not on_mount:
        yield tmp_path
        return
    with mounted(tmp_path, "mount", *FORWARDING) as mount:
        yield mount.path


@pytest.mark.parametrize(("before", "locks", "on_mount"), LACKS.values(), ids=list(LACKS))
def test_all_that_can_be_kept_is_kept_where_the_kernel_lacks(
    before: tuple[str, ...],
    root: Path,
    tally: Tally,
    trials: Callable[[int, int], int],
    request: pytest.FixtureRequest,
    *,
    locks: bool,
) -> None:
    if subprocess.run([*before, "true"], capture_output=True, check=False).returncode:
        pytest.skip("the kernel can be kept from nothing here")
    row = tally("There on return", f"the kernel lacks {request.node.callspec.id}")
    worker = start_worker("basics", root, int(locks), trials(1, 5), before=before)
    assert join_workers([worker], row)["wrong"] == []
    assert (row["lost"], row["leftovers"], row["wrong"]) == (0, 0, 0)
