"""A FUSE file system, which shows other processes no rename at one instant."""

from collections.abc import Callable
from pathlib import Path

from guardkit.progress.folder import open_builds
from guardkit.progress.paths import PROGRESS
from guardkit.progress.snapshot import encode

from ..looks import document
from .forking import join_workers, start_worker
from .mounts import mounted
from .tally import Tally


def test_a_file_that_is_replaced_is_never_missing_to_who_reads_through_guardkit(
    tmp_path: Path, tally: Tally, trials: Callable[[int, int], int]
) -> None:
    row = tally("Whole", "replaced on FUSE")
    with mounted(tmp_path, "mount", "--multithreaded") as mount:
        with open_builds(mount.path, make=True) as builds, builds.folder("T", make=True) as folder:
            folder.replace(PROGRESS, encode(document("T")))
            workers = [start_worker("reading", mount.path, "T") for _ in range(2)]
            for _ in range(trials(2000, 50000)):
                folder.replace(PROGRESS, encode(document("T")))
                row["faults"] += 1
        assert join_workers(workers, row)["wrong"] == []
        assert row["torn"] == 0
