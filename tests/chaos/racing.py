"""A worker that starts two builders of one task at the same instant, many times."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import anyio

from guardkit import BuildAlreadyRunningError, track_build

from .forking import Report, folder_of, fork, leftovers, look, new_report


async def build(root: Path, task_id: str, gate: int, answers: int, end: int) -> None:
    """Build the task as soon as the gate opens, tell what came of it, and go on until the end."""
    os.read(gate, 1)
    try:
        async with track_build(task_id, root=root) as build:
            assert build.snapshot.tracker
            tell(answers, "runs", build.snapshot.tracker.run_id)
            os.read(end, 1)
    except BuildAlreadyRunningError as error:
        tell(answers, "refused", str(error))


def tell(answers: int, what: str, said: str) -> None:
    os.write(answers, f"{json.dumps([what, os.getpid(), said])}\n".encode())


def race(root: Path, task_id: str) -> tuple[list[list[Any]], bytes, list[str]]:
    """Return what both builders told, and the file and the folder as they were then."""
    (gate, open_gate), (answers, answer), (end, let_end) = os.pipe(), os.pipe(), os.pipe()

    def builder() -> None:
        os.close(open_gate)
        os.close(let_end)
        asyncio.run(build(root, task_id, gate, answer, end))

    for _ in range(2):
        fork(builder)
    for fd in (gate, answer, end, open_gate):  # with the last one, the gate opens
        os.close(fd)
    with open(answers, "rb") as pipe:
        told = [json.loads(pipe.readline()) for _ in range(2)]
        document = (folder_of(root, task_id) / "progress.json").read_bytes()
        names = sorted(path.name for path in folder_of(root, task_id).iterdir())
        os.close(let_end)
    for _ in range(2):
        os.wait()
    return sorted(told), document, names


def judge(root: Path, task_id: str, report: Report) -> None:
    """Have a race, and hold it against the contract."""
    told, document, names = race(root, task_id)
    wrong = report["wrong"]
    if [what for what, _, _ in told] != ["refused", "runs"]:
        wrong.append(f"of two builders of {task_id}, {told}")
        return
    refused, runs = told
    if json.loads(document)["tracker"]["run_id"] != runs[2]:
        wrong.append(f"the refused builder of {task_id} has written its file: {document!r}")
    journal = (folder_of(root, task_id) / "events.jsonl").read_bytes().splitlines()
    if {json.loads(line)["run_id"] for line in journal} != {runs[2]}:
        wrong.append(f"the refused builder of {task_id} has written its journal")
    if names != ["events.jsonl", "progress.json"]:
        wrong.append(f"two builders of {task_id} leave {names}")
    if not (found := look(root, task_id)) or found[1].state != "completed":
        report["row"]["wrong"] += 1
        wrong.append(f"{task_id}, completed, is {found}")
    if str(runs[1]) not in refused[2]:
        report["unnamed"].append(refused[2])


def main(folder: str, trials: str) -> None:
    """Have as many races as told, and print the report."""
    anyio.run(anyio.sleep, 0)  # imports what each builder would import anew
    root, report = Path(folder), new_report()
    for number in range(int(trials)):
        judge(root, f"TASK-{number}", report)
        report["row"]["trials"] += 1
    report["row"]["leftovers"] += len(leftovers(root))
    print(json.dumps(report))
