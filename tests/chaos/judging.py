"""A worker that brings builds into every situation, and compares the verdicts with what is due."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import anyio

from guardkit import Builds, SystemClock, Verdict, assess, read_progress
from guardkit.monitor.brief import look as glance

from .forking import Report, folder_of, fork, new_report
from .situations import SITUATIONS, Document, Situation, put

STALL_AFTER = 1.0
QUIET = 2.2  # seconds: the least after which each verdict of silence is due, times being rounded
COPIES = 3


class Ahead(SystemClock):
    """A reader's clock that is some seconds ahead of the builder's."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self._seconds)


class Case(NamedTuple):
    """A build in a situation; `pid` is 0 where no process is in it."""

    name: str
    task_id: str
    situation: Situation
    pid: int


def start(root: Path, name: str, task_id: str) -> Case:
    """Start the builder of a situation, and return when it is in it."""
    situation, pid = SITUATIONS[name], 0
    if build := situation.build:
        reader, writer = os.pipe()

        async def work() -> None:
            os.setpgrp()  # so that its children can be found when it is dead
            await build(root, task_id, lambda: os.write(writer, b"."))

        pid = fork(lambda: asyncio.run(work()))
        os.close(writer)
        os.read(reader, 1)
        os.close(reader)
        if situation.sent:
            os.kill(pid, situation.sent)
    return Case(name, task_id, situation, pid)


def start_all(root: Path) -> list[Case]:
    """Return builds in every situation, a few of each; the edited files are laid last."""
    cases = [
        start(root, name, f"TASK-{number}-{copy}")
        for number, name in enumerate(SITUATIONS)
        for copy in range(COPIES)
    ]
    time.sleep(QUIET)
    living = next(case for case in cases if case.name == "working")
    for case in cases:
        if edit := case.situation.edit:
            source = case if case.pid else living
            path = folder_of(root, source.task_id) / "progress.json"
            document: Document = json.loads(path.read_bytes())
            document["task_id"] = document["build_id"] = case.task_id
            edit(document)
            put(root, case.task_id, document)
    return cases


def judge(root: Path, case: Case) -> list[Verdict]:
    """Return what a reader comes to, in each way of looking."""
    clock = Ahead(case.situation.late)
    [look] = Builds(root, stall_after=STALL_AFTER, clock=clock).look_now([case.task_id])
    verdicts = [look.verdict]
    if look.snapshot:
        snapshot = read_progress(case.task_id, root=root)
        verdicts.append(assess(snapshot, root=root, stall_after=STALL_AFTER, clock=clock))
        [brief] = glance(root, [case.task_id], stall_after=STALL_AFTER, clock=clock).values()
        verdicts.append(brief[1])
    return verdicts


def compare(root: Path, cases: list[Case], report: Report) -> None:
    """Count the verdicts that are not what is due, or whose evidence names no process."""
    for case in cases:
        for state, evidence in judge(root, case):
            report["row"]["trials"] += 1
            report["row"]["faults"] += case.situation.sent is not None
            wrong = state != case.situation.state or not evidence
            wrong |= case.situation.said not in evidence
            if case.pid and state in ("crashed", "unresponsive"):
                wrong |= f"process {case.pid} " not in evidence
            if wrong:
                report["row"]["wrong"] += 1
                report["wrong"].append(f"{case.name} is {state}: {evidence}")


def ask_command(root: Path, cases: list[Case], report: Report) -> None:
    """Compare what `guardkit status --json` says of the same builds."""
    code = "from guardkit.cli.main import main; main()"
    options = ["--json", "--stall-after", str(STALL_AFTER), "--root", str(root)]
    command = [sys.executable, "-P", "-c", code, "status", *options]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    said = {each["task_id"]: each["verdict"]["state"] for each in json.loads(ended.stdout)}
    for case in cases:
        state = said.get(case.task_id)
        report["row"]["trials"] += 1
        if not case.situation.late and state != case.situation.state:
            report["row"]["wrong"] += 1
            report["wrong"].append(f"{case.name} is {state}, says the command")


def end(cases: list[Case]) -> None:
    """End every process, and the children of the dead ones."""
    for case in cases:
        if case.pid:
            with suppress(ProcessLookupError):
                os.killpg(case.pid, signal.SIGKILL)
            os.waitpid(case.pid, 0)


def main(folder: str, batches: str) -> None:
    """Try every situation as often as told, and print the report."""
    anyio.run(anyio.sleep, 0)  # imports what each builder would import anew
    report = new_report()
    for batch in range(int(batches)):
        root = Path(folder, str(batch))
        root.mkdir()
        cases = start_all(root)
        try:
            compare(root, cases, report)
            if not batch:
                ask_command(root, cases, report)
        finally:
            end(cases)
    print(json.dumps(report))
