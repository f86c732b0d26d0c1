"""Builds, turns and phases: in which order they may be used."""

import asyncio
import gc
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from guardkit import (
    Build,
    MisuseError,
    Phase,
    ScopeError,
    Turn,
    Wave,
    track_build,
)
from guardkit.testing import FakeClock

from ..shown import Journal, OnDisk, seq, shown

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]


USES: dict[str, Callable[[Build], object]] = {
    "turn": lambda build: build.turn(),
    "phase": lambda build: build.phase("Setup"),
    "update": lambda build: build.update(files_created=1),
    "update, as it was": lambda build: build.update(files_created=0),
    "count": lambda build: build.count(1, 2, "rows"),
    "spent": lambda build: build.spent(tokens=1),
    "touch": lambda build: build.touch(),
    "decide": lambda build: build.decide("approve"),
    "decide, with a message": lambda build: build.decide("approve", "well done"),
    "fail": lambda build: build.fail("no"),
}


EACH_USE = pytest.mark.parametrize("use", USES.values(), ids=USES)


@EACH_USE
async def test_a_build_is_of_no_use_before_it_is_entered(
    tmp_path: Path, clock: FakeClock, use: Callable[[Build], object]
) -> None:
    build = track_build("TASK-1", root=tmp_path, clock=clock)
    with pytest.raises(ScopeError, match="the build of TASK-1 is not entered: use `async with`"):
        use(build)
    assert os.listdir(tmp_path) == []


@EACH_USE
async def test_a_build_is_of_no_use_after_its_end(
    clock: FakeClock, use: Callable[[Build], object]
) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        pass
    last = build.snapshot
    with pytest.raises(ScopeError, match="the build of TASK-1 has ended: make another one"):
        use(build)
    assert build.snapshot == last


async def test_a_scope_is_entered_once(clock: FakeClock) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        async with build.turn() as turn:
            async with turn.phase("Setup") as phase:
                for scope in (build, turn, phase):
                    with pytest.raises(ScopeError, match=f"{scope} was entered before: make"):
                        await scope.__aenter__()
        for scope in (turn, phase):
            with pytest.raises(ScopeError, match="was entered before"):
                await scope.__aenter__()
        last = seq(build)
    with pytest.raises(ScopeError, match="was entered before"):
        await build.__aenter__()
    assert seq(build) == last + 1


@pytest.mark.filterwarnings("ignore:.* was never entered:RuntimeWarning")
async def test_scopes_that_were_made_in_time_are_not_entered_after_the_end(
    clock: FakeClock,
) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        turn, phase = build.turn(), build.phase("Setup")
    for scope in (turn, phase):
        with pytest.raises(ScopeError, match="has ended"):
            await scope.__aenter__()


# left by another task


async def test_what_another_task_has_left_open_in_a_turn_is_cancelled_with_it(
    clock: FakeClock, tmp_path: Path, journal: Journal
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        turn = await build.turn().__aenter__()
        outside = await build.phase("Outside").__aenter__()
        inside = await turn.phase("Inside").__aenter__()
        await turn.__aexit__(None, None, None)
        assert shown(build) == (1, "Outside", "in_progress")
        await inside.__aexit__(None, None, None)
        assert shown(build) == (1, "Outside", "in_progress")
        await outside.__aexit__(None, None, None)
    ended = [e["progress"] for e in journal() if e["event"] == "phase.ended"]
    assert [(p["phase"], p["phase_status"]) for p in ended] == [
        ("Inside", "cancelled"),
        ("Outside", "completed"),
    ]


async def test_what_another_task_has_left_open_is_cancelled_with_the_build(
    clock: FakeClock, tmp_path: Path, journal: Journal
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        turn = await build.turn().__aenter__()
        await turn.phase("Player Implementation").__aenter__()
    assert shown(build) == (1, "Player Implementation", "cancelled")
    assert [entry["event"] for entry in journal()][-3:] == [
        "phase.ended",
        "turn.ended",
        "build.ended",
    ]


@pytest.mark.parametrize("error", [None, ValueError("late")], ids=["normally", "by an exception"])
async def test_a_scope_that_is_left_after_the_end_changes_nothing(
    clock: FakeClock, error: Exception | None
) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        turn = await build.turn().__aenter__()
        phase = await turn.phase("Player Implementation").__aenter__()
    last = build.snapshot
    await clock.advance(10.0)
    for scope in (phase, turn):
        await scope.__aexit__(type(error) if error else None, error, None)
    assert build.snapshot == last


async def test_an_old_turn_that_is_left_again_does_not_end_the_new_one(clock: FakeClock) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        old = build.turn()
        await old.__aenter__()
        await old.__aexit__(None, None, None)
        async with build.turn() as turn:
            await old.__aexit__(None, None, None)
            async with turn.phase("Setup"):
                assert shown(build) == (2, "Setup", "in_progress")


# made, and never entered


@pytest.mark.parametrize("name", ["turn 1", "phase 'load'", "wave 1"])
async def test_a_scope_that_was_made_and_never_entered_gives_a_warning(
    clock: FakeClock, name: str
) -> None:
    async with track_build("FEAT-1", build_type="feature", root=None, clock=clock) as build:
        make: dict[str, Callable[[], object]] = {
            "turn 1": build.turn,
            "phase 'load'": lambda: build.phase("load"),
            "wave 1": lambda: build.wave(1),
        }
        with pytest.warns(RuntimeWarning, match=f"^{name} was never entered: use `async with` on"):
            make[name]()


async def test_a_build_that_was_made_and_never_entered_gives_no_warning(clock: FakeClock) -> None:
    track_build("TASK-1", root=None, clock=clock)
    gc.collect()


@pytest.mark.parametrize("name", ["", " ", "\t\n"], ids=repr)
async def test_a_scope_that_was_refused_gives_no_warning(clock: FakeClock, name: str) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        with pytest.raises(MisuseError, match=r"name=.* is empty: say what the phase does"):
            build.phase(name)
        gc.collect()


# on another event loop


async def elsewhere(call: Callable[[], Awaitable[object]]) -> None:
    """Await something on the event loop of another thread."""

    async def main() -> None:
        await call()

    await asyncio.to_thread(asyncio.run, main())


REFUSED = "is of another event loop: use it where its build was entered"


@pytest.mark.parametrize("kind", ["turn", "phase", "wave"])
@pytest.mark.filterwarnings("ignore:.* was never entered:RuntimeWarning")
async def test_a_scope_is_not_entered_on_another_event_loop(clock: FakeClock, kind: str) -> None:
    async with track_build("FEAT-1", build_type="feature", root=None, clock=clock) as build:
        made: dict[str, Callable[[], Turn | Phase | Wave]] = {
            "turn": build.turn,
            "phase": lambda: build.phase("a"),
            "wave": lambda: build.wave(1),
        }
        scope = made[kind]()
        with pytest.raises(ScopeError, match=REFUSED):
            await elsewhere(scope.__aenter__)
        assert (seq(build), shown(build)) == (1, (0, "", ""))
        del scope, made
        gc.collect()


@pytest.mark.parametrize("kind", ["turn", "phase"])
async def test_a_scope_is_not_left_on_another_event_loop(clock: FakeClock, kind: str) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        async with build.turn() if kind == "turn" else build.phase("Setup") as scope:
            last = build.snapshot
            with pytest.raises(ScopeError, match=REFUSED):
                await elsewhere(lambda: scope.__aexit__(None, None, None))
            assert build.snapshot == last


async def test_a_build_is_not_left_on_another_event_loop(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        with pytest.raises(ScopeError, match=f"the build of TASK-1 {REFUSED}"):
            await elsewhere(lambda: build.__aexit__(None, None, None))
        assert on_disk()["status"] == "running"
    assert on_disk()["status"] == "completed"


async def test_a_task_of_a_wave_is_not_entered_on_another_event_loop(clock: FakeClock) -> None:
    feature = track_build("FEAT-1", build_type="feature", root=None, clock=clock)
    async with feature, feature.wave(1) as wave:
        task = wave.task("TASK-1")
        with pytest.raises(ScopeError, match=f"the build of TASK-1 {REFUSED}"):
            await elsewhere(task.__aenter__)
