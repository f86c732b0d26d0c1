"""A worker that reads a progress file in a tight loop, until its standard input ends."""

import json
import select
import sys
from pathlib import Path

from .forking import new_report


def main(path: str) -> None:
    """Count the reads, and those that were not whole, and print the report."""
    report = new_report()
    while not select.select([sys.stdin], [], [], 0)[0]:
        try:
            json.loads(Path(path).read_bytes())
        except (OSError, ValueError) as error:
            report["row"]["torn"] += 1
            report["wrong"].append(repr(error))
        report["row"]["trials"] += 1
    print(json.dumps(report))
