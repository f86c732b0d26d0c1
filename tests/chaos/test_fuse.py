"""A FUSE file system, which shows other processes no rename at one instant."""

import threading
from collections.abc import Callable
from pathlib import Path

from guardkit.errors import GuardKitError
from guardkit.progress.folder import Folder, open_builds
from guardkit.progress.paths import PROGRESS
from guardkit.progress.reader import read_in
from guardkit.progress.snapshot import decode, encode

from ..looks import document
from .forking import join_workers, start_worker
from .mounts import mounted
from .tally import Tally


def replace_often(folder: Folder, times: int) -> None:
    for _ in range(times):
        folder.replace(PROGRESS, encode(document("T")))


def test_a_file_that_is_replaced_is_never_missing_to_who_reads_through_guardkit(
    tmp_path: Path, tally: Tally, trials: Callable[[int, int], int]
) -> None:
    row, wrong = tally("Whole", "replaced on FUSE"), list[str]()
    with mounted(tmp_path, "mount", "--multithreaded") as mount:
        with open_builds(mount.path, make=True) as builds, builds.folder("T", make=True) as folder:
            replace_often(folder, 1)
            worker = start_worker("reading", mount.path, "T")
            row["faults"] = trials(2000, 50000)
            writer = threading.Thread(target=replace_often, args=[folder, row["faults"]])
            writer.start()
            while writer.is_alive():
                try:
                    read_in(folder, decode)
                except (OSError, GuardKitError) as error:
                    wrong.append(repr(error))
            writer.join()
        assert wrong + join_workers([worker], row)["wrong"] == []
