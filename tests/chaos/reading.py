"""Workers that read a progress file in a tight loop, until their standard input ends."""

import json
import select
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from guardkit import read_progress

from .forking import new_report


def main(path: str, task_id: str = "") -> None:
    """Count the reads, and those that were not whole, and print the report.

    path: the file; or the root, to read there as guardkit reads the build of a task.
    """
    read: Callable[[], object] = lambda: json.loads(Path(path).read_bytes())  # noqa: E731
    if task_id:
        read = partial(read_progress, task_id, root=path)
    report = new_report()
    while not select.select([sys.stdin], [], [], 0)[0]:
        try:
            read()
        except (OSError, ValueError) as error:
            report["row"]["torn"] += 1
            report["wrong"].append(repr(error))
        report["row"]["trials"] += 1
    print(json.dumps(report))
