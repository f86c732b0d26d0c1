"""What a task of a feature costs its orchestrator, however many there are."""

import asyncio
import resource
from pathlib import Path

import pytest

from guardkit import SystemClock
from guardkit.orchestrator.autobuild import AutoBuildOrchestrator
from guardkit.orchestrator.features.feature import FeatureOrchestrator
from guardkit.orchestrator.processes.commands import Seat, run_command
from guardkit.orchestrator.repository.git import Git

from ..features import PASSING, WRITES, make_feature

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("git_identity")]

PARALLEL = 2
TRIES = 50  # of what a git, and an agent, cost us to start and to wait for


def used() -> float:
    """Return the processor time of this process, less that of its children, in seconds."""
    found = resource.getrusage(resource.RUSAGE_SELF)
    return found.ru_utime + found.ru_stime


async def price_of_git(root: Path) -> float:
    git = Git(folder=root, clock=SystemClock())

    async def ask() -> None:
        for _ in range(TRIES):
            await git.run("version")

    begun = used()
    await asyncio.gather(*(ask() for _ in range(PARALLEL)))
    return (used() - begun) / TRIES / PARALLEL


async def price_of_an_agent(root: Path) -> float:
    seat = Seat(cwd=root, env={}, budget=60.0, clock=SystemClock(), hear=lambda _: None)
    begun = used()
    for _ in range(TRIES):
        await run_command("echo x", seat)
    return (used() - begun) / TRIES


async def own_time(root: Path, waves: int, width: int, monkeypatch: pytest.MonkeyPatch) -> float:
    """Return the processor time that a task costs besides git and agents, in seconds."""
    ids = [[f"T{wave}-{number}" for number in range(width)] for wave in range(waves)]
    needs = {each: [ids[w][n]] for w, wave in enumerate(ids[1:]) for n, each in enumerate(wave)}
    make_feature(root, ids, needs)
    git, agent, calls, start = (
        await price_of_git(root), await price_of_an_agent(root), 0, Git._start
    )  # fmt: skip

    def counted(self: Git, *words: object) -> object:
        nonlocal calls
        calls += 1
        return start(self, *words)  # type: ignore[arg-type]

    monkeypatch.setattr(Git, "_start", counted)
    builder = AutoBuildOrchestrator(root, player=WRITES, test=PASSING)
    begun = used()
    result = await FeatureOrchestrator(builder, max_parallel=PARALLEL).run("FEAT-1")
    monkeypatch.setattr(Git, "_start", start)
    assert result.status == "completed", result.summary
    tasks = waves * width
    return (used() - begun - calls * git - 2 * tasks * agent) / tasks


async def test_a_task_costs_the_same_however_many_there_are(
    tmp_path: Path, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_long = pytestconfig.getoption("long")
    few, many = ((10, 5), (40, 5)) if is_long else ((2, 2), (4, 2))
    cheap = await own_time(tmp_path / "few", *few, monkeypatch)
    dear = await own_time(tmp_path / "many", *many, monkeypatch)
    print(f"\nof {few[0] * few[1]} tasks {cheap * 1000:.1f} ms, of {many[0] * many[1]} ", end="")
    print(f"{dear * 1000:.1f} ms of processor time a task, less git and agents")
    assert dear < cheap * 2
