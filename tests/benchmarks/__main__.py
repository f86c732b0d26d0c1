"""Measure guardkit against what one would use instead: python -m tests.benchmarks."""

import argparse
import asyncio
import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import cast

from .chart import draw
from .races import Row
from .setting import REPOSITORY, prepare
from .table import make_report, render

SUBJECTS = (
    "updates",
    "writes",
    "transitions",
    "latency",
    "losses",
    "crowds",
    "watched",
    "growth",
    "starts",
    "nats",
)


def measure_apart(subject: str, *, short: bool) -> list[Row]:
    """Measure one subject in a process of its own, in which nothing else runs or is traced."""
    command = [sys.executable, "-m", __package__ or "", "--here", subject]
    environment = {name: text for name, text in os.environ.items() if "COVERAGE" not in name}
    ended = subprocess.run(
        command + ["--short"] * short,
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.PIPE,
        check=True,
    )
    return cast("list[Row]", json.loads(ended.stdout))


def measure_here(subject: str, *, short: bool) -> list[Row]:
    """Measure one subject in this process."""
    module = import_module(f"{__package__}.{subject}")
    with prepare(short=short) as run:
        rows: list[Row] = asyncio.run(module.measure(run))
    return rows


def main() -> None:
    """Measure the subjects that are asked for, print the table, write JSON and a chart."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help=f"{', '.join(SUBJECTS)}")
    parser.add_argument("--short", action="store_true", help="few rounds, and few peers")
    parser.add_argument("--here", action="store_true", help="in this process; print JSON alone")
    parser.add_argument("--to", type=Path, default=REPOSITORY / "build" / "bench", metavar="DIR")
    options = parser.parse_args()
    if options.here:
        print(json.dumps(measure_here(options.subjects[0], short=options.short)))
        return
    rows: list[Row] = []
    for subject in options.subjects or SUBJECTS:
        print(f"measuring {subject}", file=sys.stderr, flush=True)
        rows += measure_apart(subject, short=options.short)
    report = make_report(rows)
    table = render(report)
    print(table)
    options.to.mkdir(parents=True, exist_ok=True)
    (options.to / "bench.md").write_text(f"{table}\n", encoding="utf-8")
    (options.to / "bench.json").write_text(json.dumps(report, indent=2), encoding="utf-8")
    (options.to / "bench.svg").write_text(draw(report), encoding="utf-8")


if __name__ == "__main__":
    main()
