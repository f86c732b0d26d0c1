"""Processes of their own for the suite: a worker that imports guardkit once, and forks builders.

pytest has threads, which a fork must not meet: so that a worker is started afresh, and stays
without a thread or an event loop itself.
"""

import json
import mmap
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self, TypedDict

from guardkit import Snapshot, Verdict, assess, read_progress

from .tally import Row, add, new_row

REPOSITORY = Path(__file__).parents[2]
SECOND = 1.0  # in which a reader knows of a death, by the contract


class Report(TypedDict):
    """What a worker has counted, and a sentence for each thing that went wrong.

    `unnamed` are the refusals that do not say who builds.
    """

    row: Row
    wrong: list[str]
    unnamed: list[str]


def start_worker(
    module: str, *arguments: object, before: Sequence[str] = ()
) -> subprocess.Popen[str]:
    """Start `main(*arguments)` of a module of this folder; it prints its report.

    before: a command that is to run it.
    """
    script = (
        f"import sys; sys.path.append({str(REPOSITORY)!r}); sys.argv.pop(0)\n"
        f"from tests.chaos.{module} import main; main(*sys.argv)"
    )
    command = [*before, sys.executable, "-P", "-c", script, *map(str, arguments)]
    measured = {name for name in os.environ if name.startswith("COVERAGE")}
    environment = {name: value for name, value in os.environ.items() if name not in measured}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, env=environment, text=True, stdin=pipe, stdout=pipe, stderr=pipe
    )


class Builder:
    """A build in a process of its own, which goes on when it is told to.

    before: a command that is to run it.
    """

    def __init__(self, root: Path, *, before: Sequence[str] = ()) -> None:
        self.process = start_worker("hanging", root, before=before)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.__exit__(None, None, None)

    def says(self, what: str) -> float:
        """Wait for it to say that, and return how many seconds it has taken."""
        assert self.process.stdout
        said, seconds = self.process.stdout.readline().split()
        assert said == what
        return float(seconds)

    def go_on(self) -> None:
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def exits(self) -> float:
        """Return how many seconds the interpreter takes to exit."""
        start = time.monotonic()
        try:
            assert self.process.wait(10) == 0
        except subprocess.TimeoutExpired:
            self.process.kill()
        return time.monotonic() - start


def join_workers(workers: list[subprocess.Popen[str]], row: Row) -> Report:
    """Add what the workers counted to `row`, and return their reports as one."""
    total = Report(row=row, wrong=[], unnamed=[])
    for worker in workers:
        stdout, stderr = worker.communicate()
        if worker.returncode or stderr:
            total["wrong"].append(f"the worker ended with {worker.returncode}: {stderr}")
            continue
        report: Report = json.loads(stdout)
        add(row, report["row"])
        total["wrong"] += report["wrong"]
        total["unnamed"] += report["unnamed"]
    return total


def new_report() -> Report:
    """Return a report that has nothing to tell."""
    return Report(row=new_row(""), wrong=[], unnamed=[])


def fork(work: Callable[[], object]) -> int:
    """Run `work` in a child process, and return its pid."""
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


class Shared:
    """A number that a process and its children see alike, also after one of them was killed."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 8)

    @property
    def value(self) -> int:
        return int.from_bytes(self._memory[:8], "little")

    @value.setter
    def value(self, value: int) -> None:
        self._memory[:8] = value.to_bytes(8, "little")


def folder_of(root: Path, task_id: str) -> Path:
    """Return where the files of a build are, by the contract."""
    return root / ".guardkit/autobuild" / task_id


def leftovers(root: Path) -> list[str]:
    """Return the names of the temporary files below `root`."""
    return [path.name for path in root.rglob("*.tmp")]


def look(root: Path, task_id: str) -> tuple[Snapshot, Verdict] | None:
    """Return what a reader sees of a build, and concludes; None where there is no file."""
    try:
        snapshot = read_progress(task_id, root=root)
    except FileNotFoundError:
        return None
    return snapshot, assess(snapshot, root=root)


def state(root: Path, task_id: str) -> str | None:
    """Return what a reader concludes; None where there is no file."""
    found = look(root, task_id)
    return found[1].state if found else None


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> float | None:
    """Return the seconds until the condition was met in another process; None if it was not."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > seconds:
            return None
        time.sleep(0.0001)
    return time.monotonic() - start
