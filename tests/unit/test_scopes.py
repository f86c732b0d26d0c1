"""Builds, turns and phases: what may be called when, and what comes of it."""

import asyncio
import os
import re
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from guardkit import (
    Build,
    BuildAlreadyRunningError,
    InvalidTaskIdError,
    MisuseError,
    Phase,
    ScopeError,
    Snapshot,
    Turn,
    track_build,
)
from guardkit.testing import FakeClock, MemorySink

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]

OnDisk = Callable[[], dict[str, Any]]
Journal = Callable[[], list[dict[str, Any]]]

COUNTS = ["files_created", "files_modified", "tests_passed", "tests_total"]
NOT_COUNTS = {"negative": -1, "bool": True, "float": 1.0, "text": "1", "NaN": float("nan")}
NOT_ORDINALS = NOT_COUNTS | {"zero": 0, "none": None}
NOT_SECONDS = {"negative": -1.0, "NaN": float("nan"), "bool": True, "text": "1", "huge": 10**400}


def shown(build: Build) -> tuple[int, str, str]:
    return build.snapshot.turn, build.snapshot.phase, build.snapshot.phase_status


def seq(build: Build) -> int:
    assert build.snapshot.tracker
    return build.snapshot.tracker.seq


# misuse of track_build


@pytest.mark.parametrize(
    "task_id",
    [
        "",
        ".",
        "..",
        "../TASK-1",
        "a/b",
        "a\\b",
        "/etc/passwd",
        "-TASK",
        "_TASK",
        ".TASK",
        "TASK 1",
        "TASK-1\n",
        "TASK\0",
        "TASK-ß",
        "٣",
        "😀",
        "*",
        pytest.param("x" * 129, id="129 letters"),
        pytest.param("x" * 100_000_000, id="100 MB"),
        pytest.param(None, id="none"),
        pytest.param(5, id="a number"),
        pytest.param(b"TASK-1", id="bytes"),
    ],
)
async def test_what_is_no_task_id_is_refused_at_the_call(tmp_path: Path, task_id: Any) -> None:
    with pytest.raises(InvalidTaskIdError, match="use 1 to 128 letters, digits") as raised:
        track_build(task_id, root=tmp_path)
    assert len(str(raised.value)) < 250
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "task_id", ["T", "1", "TASK-FB-002", "a..b", "a_b.c-", pytest.param("x" * 128, id="128")]
)
async def test_what_is_a_task_id_names_a_folder(
    tmp_path: Path, clock: FakeClock, task_id: str
) -> None:
    async with track_build(task_id, root=tmp_path, clock=clock):
        assert (tmp_path / ".guardkit/autobuild" / task_id / "progress.json").is_file()


@pytest.mark.parametrize("value", NOT_ORDINALS.values(), ids=NOT_ORDINALS)
@pytest.mark.parametrize("name", ["wave", "wave_total", "turn_max"])
async def test_what_does_not_count_from_one_is_refused_at_the_call(
    tmp_path: Path, name: str, value: Any
) -> None:
    with pytest.raises(MisuseError, match=f"{name}=.* cannot be: "):
        track_build("TASK-1", root=tmp_path, **{name: value})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            pytest.param(name, value, id=f"{name} {title}")
            for name in ("debounce", "heartbeat")
            for title, value in NOT_SECONDS.items()
        ),
        pytest.param("debounce", float("inf"), id="debounce infinite"),
        pytest.param("heartbeat", float("inf"), id="heartbeat infinite"),
        pytest.param("heartbeat", 0.0, id="heartbeat zero"),
    ],
)
async def test_what_are_no_seconds_is_refused_at_the_call(
    tmp_path: Path, name: str, value: Any
) -> None:
    with pytest.raises(MisuseError, match=f"{name}=.* cannot be: "):
        track_build("TASK-1", root=tmp_path, **{name: value})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("value", [5, 0, b"x", ["x"]], ids=repr)
@pytest.mark.parametrize("name", ["build_id", "task_name"])
async def test_what_is_no_text_is_refused_at_the_call(
    tmp_path: Path, name: str, value: Any
) -> None:
    with pytest.raises(MisuseError, match=f"{name}=.* cannot be: Expected `str`"):
        track_build("TASK-1", root=tmp_path, **{name: value})
    assert os.listdir(tmp_path) == []


async def test_a_type_of_build_that_is_unknown_is_refused_at_the_call(tmp_path: Path) -> None:
    with pytest.raises(MisuseError, match="build_type='epic' cannot be"):
        track_build("TASK-1", root=tmp_path, build_type="epic")  # type: ignore[arg-type]
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("root", [5, b"x"], ids=repr)
async def test_what_is_no_path_is_refused_at_the_call(root: Any) -> None:
    with pytest.raises((MisuseError, TypeError), match="str"):
        track_build("TASK-1", root=root)


@pytest.mark.parametrize("root", ["a\0b", "\ud800"], ids=["NUL", "surrogate"])
async def test_a_path_that_cannot_exist_does_not_hurt_the_build(
    clock: FakeClock, root: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with track_build("TASK-1", root=root, clock=clock) as build, build.phase("Setup"):
        pass
    assert build.snapshot.status == "completed"
    assert len(caplog.records) == 1


async def test_the_build_id_is_the_task_id_unless_it_is_given(clock: FakeClock) -> None:
    assert track_build("TASK-1", clock=clock).snapshot.build_id == "TASK-1"
    assert track_build("TASK-1", build_id="B", clock=clock).snapshot.build_id == "B"


async def test_a_build_that_is_only_made_writes_nothing(tmp_path: Path) -> None:
    track_build("TASK-1", root=tmp_path)
    assert os.listdir(tmp_path) == []


# misuse of update, decide and fail


@pytest.mark.parametrize("value", NOT_COUNTS.values(), ids=NOT_COUNTS)
@pytest.mark.parametrize("name", COUNTS)
async def test_what_is_no_count_is_refused_at_the_call(
    clock: FakeClock, name: str, value: Any
) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        with pytest.raises(MisuseError, match=f"{name}=.* cannot be: "):
            build.update(**{name: value})
        assert seq(build) == 1


@pytest.mark.parametrize("value", [5, b"x", ["x"], True], ids=repr)
async def test_a_message_that_is_no_text_is_refused_at_the_call(
    clock: FakeClock, value: Any
) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        with pytest.raises(MisuseError, match=r"message=.* cannot be: Expected `str`"):
            build.update(message=value)
        with pytest.raises(MisuseError, match=r"message=.* cannot be: Expected `str`"):
            build.decide("approve", value)
        assert seq(build) == 1


@pytest.mark.parametrize("value", [5, None, b"x"], ids=repr)
async def test_a_decision_or_a_reason_that_is_no_text_is_refused_at_the_call(
    clock: FakeClock, value: Any
) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        with pytest.raises(MisuseError, match=r"decision=.* cannot be: Expected `str`"):
            build.decide(value)
        with pytest.raises(MisuseError, match=r"reason=.* cannot be: Expected `str`"):
            build.fail(value)
        assert seq(build) == 1
    assert build.snapshot.status == "completed"


async def test_an_update_before_the_build_is_entered_changes_nothing_at_all(
    clock: FakeClock,
) -> None:
    build = track_build("TASK-1", root=None, clock=clock)
    with pytest.raises(ScopeError):
        build.update(files_created=5)
    async with build:
        assert build.snapshot.metrics.files_created == 0


async def test_an_update_without_anything_changes_nothing(clock: FakeClock) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        build.update()
        await clock.advance(1.0)
        assert seq(build) == 1


@pytest.mark.parametrize("kind", ["build", "turn", "phase"])
async def test_build_turn_and_phase_update_alike(clock: FakeClock, kind: str) -> None:
    async with (
        track_build("TASK-1", root=None, clock=clock) as build,
        build.turn() as turn,
        turn.phase("Setup") as phase,
    ):
        scopes: dict[str, Build | Turn | Phase] = {"build": build, "turn": turn, "phase": phase}
        scopes[kind].update(
            files_created=1, files_modified=2, tests_passed=3, tests_total=4, message="here"
        )
        metrics = build.snapshot.metrics
        assert (metrics.files_created, metrics.files_modified) == (1, 2)
        assert (metrics.tests_passed, metrics.tests_total) == (3, 4)
        assert build.snapshot.message == "here"


async def test_what_an_update_does_not_name_stays_as_it_is(clock: FakeClock) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        build.update(files_created=1, message="here")
        build.update(tests_total=2)
        build.update(files_created=0)
        assert (build.snapshot.metrics.files_created, build.snapshot.message) == (0, "here")
        assert build.snapshot.metrics.tests_total == 2


async def test_an_update_after_the_event_loop_was_closed_raises_nothing(clock: FakeClock) -> None:
    build = track_build("TASK-1", root=None, clock=clock)

    async def leave_open() -> None:
        await build.__aenter__()

    await asyncio.to_thread(asyncio.run, leave_open())
    build.update(files_created=1)
    assert build.snapshot.metrics.files_created == 1


class Text(str):
    """As those of templating and array libraries are."""


class Number(int):
    pass


async def test_subclasses_of_text_and_numbers_are_taken_for_what_they_hold(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    text, number = Text("text"), Number(3)
    async with track_build(
        Text("TASK-1"), task_name=text, build_id=text, wave=number, root=tmp_path, clock=clock
    ) as build:
        build.update(files_created=number, message=text)
        build.decide(text)
        async with build.phase(text):
            document = on_disk()
    assert [document[key] for key in ("build_id", "message", "decision", "phase")] == ["text"] * 4
    assert (document["wave"], document["metrics"]["files_created"]) == (3, 3)


async def test_each_snapshot_that_differs_has_a_number_of_its_own(clock: FakeClock) -> None:
    sink = MemorySink()
    async with track_build("TASK-1", root=None, clock=clock, sinks=[sink]) as build:
        for number in (5, 6):
            build.update(files_created=number)
            snapshot = build.snapshot
            assert (snapshot.tracker.seq, snapshot.metrics.files_created) == (number - 3, number)
        assert build.snapshot == snapshot
        await clock.advance(0.1)
        assert sink.snapshots[-1] == build.snapshot


@pytest.mark.parametrize("name", ["decide", "fail"])
async def test_what_is_written_at_once_is_said_on_the_event_loop(
    clock: FakeClock, name: str
) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        with pytest.raises(ScopeError, match="use its call_soon_threadsafe"):
            await asyncio.to_thread(getattr(build, name), "no")
        assert seq(build) == 1


# order of scopes


USES: dict[str, Callable[[Build], object]] = {
    "turn": lambda build: build.turn(),
    "phase": lambda build: build.phase("Setup"),
    "update": lambda build: build.update(files_created=1),
    "update, as it was": lambda build: build.update(files_created=0),
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


async def test_scopes_that_were_made_in_time_are_not_entered_after_the_end(
    clock: FakeClock,
) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        turn, phase = build.turn(), build.phase("Setup")
    for scope in (turn, phase):
        with pytest.raises(ScopeError, match="has ended"):
            await scope.__aenter__()


async def test_a_second_turn_is_refused_while_one_is_open(clock: FakeClock) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        other = build.turn()
        async with build.turn():
            with pytest.raises(ScopeError, match="turn 1 is open: leave it before turn 2"):
                build.turn()
            with pytest.raises(ScopeError, match="turn 1 is open: leave it"):
                await other.__aenter__()
            assert (build.snapshot.turn, seq(build)) == (1, 2)


async def test_a_turn_beyond_the_last_is_refused(clock: FakeClock) -> None:
    async with track_build("TASK-1", root=None, clock=clock, turn_max=2) as build:
        for _ in range(2):
            async with build.turn():
                pass
        with pytest.raises(MisuseError, match=r"turn 3 cannot be.*turn_max=2"):
            build.turn()
        assert build.snapshot.turn == 2


@pytest.mark.parametrize("number", [0, -1, 6, 1.5, True, "1"], ids=repr)
async def test_what_is_no_number_of_a_turn_is_refused(clock: FakeClock, number: Any) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        with pytest.raises(MisuseError, match="the next one is from 1 to turn_max=5"):
            build.turn(number)


async def test_turns_number_themselves_from_one(clock: FakeClock) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        for number in (1, 2, 3):
            async with build.turn() as turn:
                assert turn.number == build.snapshot.turn == number


async def test_a_build_that_resumes_counts_on_from_the_given_turn(clock: FakeClock) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        async with build.turn(3):
            pass
        async with build.turn() as turn:
            assert turn.number == 4
        with pytest.raises(MisuseError, match="turn 4 cannot be: the next one is from 5"):
            build.turn(4)


async def test_a_turn_that_was_made_but_not_entered_uses_up_no_number(clock: FakeClock) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        build.turn()
        async with build.turn() as turn:
            assert turn.number == 1


async def test_a_phase_of_a_turn_is_entered_only_inside_it(clock: FakeClock) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        turn = build.turn()
        with pytest.raises(ScopeError, match="turn 1 is not entered: use `async with`"):
            await turn.phase("Setup").__aenter__()
        async with turn:
            pass
        with pytest.raises(ScopeError, match="turn 1 has ended"):
            await turn.phase("Setup").__aenter__()
        assert build.snapshot.phase == ""


BUDGETS = NOT_SECONDS | {"zero": 0.0}


@pytest.mark.parametrize("budget", BUDGETS.values(), ids=BUDGETS)
async def test_a_budget_that_is_no_time_is_refused(clock: FakeClock, budget: Any) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        with pytest.raises(MisuseError, match=r"budget=.* cannot be: "):
            build.phase("Setup", budget=budget)


@pytest.mark.parametrize("name", [5, None, b"x"], ids=repr)
async def test_the_name_of_a_phase_is_text(clock: FakeClock, name: Any) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        with pytest.raises(MisuseError, match=r"name=.* cannot be: Expected `str`"):
            build.phase(name)


# decisions and failures


async def test_the_latest_decision_stays(clock: FakeClock) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        async with build.turn() as turn:
            turn.decide("feedback", "two tests fail")
            assert (build.snapshot.decision, build.snapshot.message) == (
                "feedback",
                "two tests fail",
            )
        async with build.turn() as turn, turn.phase("Coach Validation") as phase:
            assert build.snapshot.decision == "feedback"
            phase.decide("approve")
        build.decide("approved")
    assert (build.snapshot.decision, build.snapshot.message) == ("approved", "two tests fail")


@pytest.mark.parametrize(
    ("decision", "kept"),
    [
        pytest.param("x" * 64, "x" * 64, id="64 letters"),
        pytest.param("x" * 65, "x" * 64, id="65 letters"),
        pytest.param("😀" * 65, "😀" * 64, id="emoji"),
        pytest.param("\0" * 65, "\0" * 64, id="control characters"),
        pytest.param("\ud800" * 65, "\ufffd" * 64, id="lone surrogates"),
        pytest.param("", "", id="empty"),
    ],
)
async def test_a_decision_is_of_64_characters(clock: FakeClock, decision: str, kept: str) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        build.decide(decision)
        assert build.snapshot.decision == kept


async def test_a_build_that_has_failed_is_failed_though_no_exception_leaves_it(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        build.fail("out of ideas")
        assert (on_disk()["status"], build.snapshot.error) == ("running", "out of ideas")
    assert (on_disk()["status"], on_disk()["error"]) == ("failed", "out of ideas")


async def test_a_build_that_has_failed_says_why_even_where_turns_follow(clock: FakeClock) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        build.fail("out of ideas")
        async with build.turn():
            pass
    assert (build.snapshot.status, build.snapshot.error) == ("failed", "out of ideas")


async def test_a_phase_that_has_failed_says_why_at_once_and_ends_failed(clock: FakeClock) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        async with build.phase("Setup") as phase:
            phase.fail("no network")
            assert shown(build) == (0, "Setup", "in_progress")
            assert build.snapshot.error == "no network"
        assert shown(build) == (0, "Setup", "failed")


async def test_a_turn_that_has_failed_does_not_fail_the_phase_in_it(clock: FakeClock) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        async with build.turn() as turn:
            async with turn.phase("Coach Validation"):
                turn.fail("no report")
                assert shown(build) == (1, "Coach Validation", "in_progress")
            assert shown(build) == (1, "Coach Validation", "completed")
            assert build.snapshot.error == "no report"


async def test_a_failure_that_a_build_got_over_is_no_error_of_it(
    clock: FakeClock,
) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        async with build.turn() as turn:
            turn.fail("no report")
            with pytest.raises(ValueError, match="wrong"):
                async with turn.phase("Coach Validation"):
                    raise ValueError("wrong")
            assert build.snapshot.error == "ValueError: wrong"
        async with build.turn():
            assert build.snapshot.error is None
            turn.fail("late")
    assert (build.snapshot.status, build.snapshot.error) == ("completed", None)


async def test_what_a_scope_says_of_its_failure_counts_more_than_the_exception(
    clock: FakeClock,
) -> None:
    with pytest.raises(ValueError, match="wrong"):
        async with track_build("TASK-1", root=None, clock=clock) as build:
            build.fail("out of ideas")
            raise ValueError("wrong")
    assert (build.snapshot.status, build.snapshot.error) == ("failed", "out of ideas")


class MuteError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("mute")


class NotesError(Exception):
    @property
    def __notes__(self) -> list[str]:  # type: ignore[override]
        raise RuntimeError("no notes")


class EmptyError(Exception):
    pass


def deep_group() -> Exception:
    error: Exception = ValueError("at the bottom")
    for _ in range(2000):
        error = ExceptionGroup("group", [error])
    return error


@pytest.mark.parametrize(
    ("error", "text"),
    [
        pytest.param(EmptyError(), "EmptyError", id="no text"),
        pytest.param(KeyError("name"), "KeyError: 'name'", id="KeyError"),
        pytest.param(MuteError(), "MuteError: <exception str() failed>", id="str raises"),
        pytest.param(NotesError("said"), "NotesError: said", id="notes raise"),
        pytest.param(deep_group(), "ExceptionGroup: group (1 sub-exception)", id="deep group"),
        pytest.param(ValueError("a\ud800b"), "ValueError: a\ufffdb", id="lone surrogate"),
        pytest.param(SystemExit(3), "SystemExit: 3", id="SystemExit"),
    ],
)
async def test_whatever_is_raised_fails_the_build_and_leaves_it_as_it_is(
    clock: FakeClock, error: BaseException, text: str
) -> None:
    caught = None
    build = track_build("TASK-1", root=None, clock=clock)
    try:
        async with build:
            raise error
    except BaseException as raised:
        caught = raised
    assert caught is error
    assert (build.snapshot.status, build.snapshot.error) == ("failed", text)


@pytest.mark.parametrize("error", [asyncio.CancelledError(), KeyboardInterrupt()], ids=repr)
async def test_what_interrupts_a_phase_cancels_it(clock: FakeClock, error: BaseException) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        with pytest.raises(type(error)):
            async with build.phase("Setup"):
                raise error
        assert shown(build) == (0, "Setup", "cancelled")
        assert build.snapshot.error is None


# concurrent scopes


async def test_phases_that_end_out_of_order_show_the_latest_that_is_open(clock: FakeClock) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        first, second, third = (build.phase(name) for name in ("First", "Second", "Third"))
        for phase in (first, second, third):
            await phase.__aenter__()
        await second.__aexit__(None, None, None)
        assert shown(build) == (0, "Third", "in_progress")
        await third.__aexit__(None, None, None)
        assert shown(build) == (0, "First", "in_progress")
        await first.__aexit__(None, None, None)
        assert shown(build) == (0, "First", "completed")


async def test_a_turn_inside_a_phase_leaves_the_phase_shown(clock: FakeClock) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        async with build.phase("Everything", budget=60), build.turn():
            assert shown(build) == (1, "Everything", "in_progress")
            assert build.snapshot.tracker
            assert build.snapshot.tracker.budget_seconds == 60
        assert shown(build) == (1, "Everything", "completed")


async def test_what_another_task_has_left_open_in_a_turn_is_cancelled_with_it(
    clock: FakeClock, tmp_path: Path, journal: Journal
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        turn = build.turn()
        outside, inside = build.phase("Outside"), turn.phase("Inside")
        for scope in (turn, outside, inside):
            await scope.__aenter__()
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
        turn = build.turn()
        phase = turn.phase("Player Implementation")
        for scope in (turn, phase):
            await scope.__aenter__()
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
        turn = build.turn()
        phase = turn.phase("Player Implementation")
        for scope in (turn, phase):
            await scope.__aenter__()
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


async def test_a_build_without_files_ends_though_a_sink_hangs(clock: FakeClock) -> None:
    class Hanging:
        async def write(self, snapshot: Snapshot, /) -> None:
            await asyncio.Event().wait()

    async def body() -> None:
        async with track_build("TASK-1", root=None, clock=clock, sinks=[Hanging()]):
            pass

    task = asyncio.create_task(body())
    await clock.advance(1.0)
    await task


async def test_of_a_failed_write_and_a_newer_snapshot_the_newer_one_is_tried(
    clock: FakeClock,
) -> None:
    class Slow(MemorySink):
        seconds = 0.5

        async def write(self, snapshot: Snapshot, /) -> None:
            await clock.sleep(self.seconds)
            if snapshot.message is None:
                raise ConnectionError("down")
            await super().write(snapshot)

    sink = Slow()
    async with track_build("TASK-1", root=None, clock=clock, sinks=[sink]) as build:
        await clock.advance(0.1)
        build.update(message="newest")
        await clock.advance(2.0)
        assert [snapshot.message for snapshot in sink.snapshots] == ["newest"]
        sink.seconds = 0.0


# cancelled while entering


async def test_a_build_that_is_cancelled_while_it_takes_the_task_ends_cancelled(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    async def body() -> None:
        async with track_build("TASK-1", root=tmp_path, clock=clock):
            pytest.fail("it was entered")

    task = asyncio.create_task(body())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (on_disk()["status"], on_disk()["error"]) == ("cancelled", None)
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        assert on_disk()["status"] == "running"


async def test_a_build_that_is_cancelled_while_its_first_write_is_under_way_ends_cancelled(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    build = track_build("TASK-1", root=tmp_path, clock=clock)

    async def body() -> None:
        async with build:
            pytest.fail("it was entered")

    task = asyncio.create_task(body())
    while not seq(build):  # noqa: ASYNC110 (nothing tells of it)
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert on_disk()["status"] == build.snapshot.status == "cancelled"


@pytest.mark.parametrize("kind", ["turn", "phase"])
async def test_a_scope_that_is_cancelled_while_it_is_entered_is_closed(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk, journal: Journal, kind: str
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:

        async def body() -> None:
            async with build.turn() if kind == "turn" else build.phase("Setup"):
                pytest.fail("it was entered")

        task = asyncio.create_task(body())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert build.snapshot.phase_status == ("pending" if kind == "turn" else "cancelled")
        async with build.turn():
            pass
    events = [entry["event"] for entry in journal()]
    assert events[1:3] == [f"{kind}.started", f"{kind}.ended"]
    assert on_disk()["status"] == "completed"


# one builder for each task


async def test_a_second_builder_is_refused_and_told_of_the_first(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        with pytest.raises(BuildAlreadyRunningError, match="see `guardkit status TASK-1`") as error:
            async with track_build("TASK-1", root=tmp_path, clock=clock):
                pytest.fail("it was entered")
    who = f"process {os.getpid()} on {socket.gethostname()}, since 2025-01-31 12:34:56 UTC"
    assert who in str(error.value)


async def test_the_first_builder_is_not_disturbed_by_a_second(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk, journal: Journal
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        before = on_disk()
        sink = MemorySink()
        with pytest.raises(BuildAlreadyRunningError):
            await track_build("TASK-1", root=tmp_path, clock=clock, sinks=[sink]).__aenter__()
        assert (on_disk(), sink.snapshots) == (before, [])
        async with build.phase("Setup"):
            assert on_disk()["phase"] == "Setup"
    assert on_disk()["status"] == "completed"
    assert len({entry["run_id"] for entry in journal()}) == 1


async def test_the_next_builder_may_start_when_the_first_has_ended(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    runs = set()
    for _ in range(3):
        async with track_build("TASK-1", root=tmp_path, clock=clock):
            runs.add(on_disk()["tracker"]["run_id"])
            assert on_disk()["status"] == "running"
    assert len(runs) == 3


async def test_a_build_that_was_refused_is_of_no_use(tmp_path: Path, clock: FakeClock) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        second = track_build("TASK-1", root=tmp_path, clock=clock)
        with pytest.raises(BuildAlreadyRunningError):
            await second.__aenter__()
        with pytest.raises(ScopeError):
            second.update(files_created=1)
        with pytest.raises(ScopeError, match="make another"):
            await second.__aenter__()


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b'{"build_id": "\xff"}', id="not UTF-8"),
        pytest.param(b'{"x":' * 100_000, id="nested too deeply"),
        pytest.param(b"[]", id="not a document"),
        pytest.param(
            b'{"build_id": "B", "task_id": "TASK-1", "turn_max": 5,'
            b'"started_at": "2025-01-31T12:34:56Z", "updated_at": "2025-01-31T12:34:56Z"}',
            id="of another writer",
        ),
    ],
)
async def test_a_second_builder_is_refused_whatever_has_become_of_the_file(
    tmp_path: Path, clock: FakeClock, document: bytes
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        (tmp_path / ".guardkit/autobuild/TASK-1/progress.json").write_bytes(document)
        with pytest.raises(BuildAlreadyRunningError, match="built by another builder"):
            await track_build("TASK-1", root=tmp_path, clock=clock).__aenter__()


async def test_builders_of_other_tasks_and_roots_go_side_by_side(
    tmp_path: Path, clock: FakeClock
) -> None:
    (tmp_path / "other").mkdir()
    async with AsyncExitStack() as stack:
        for task_id, root in (("A", tmp_path), ("B", tmp_path), ("A", tmp_path / "other")):
            await stack.enter_async_context(track_build(task_id, root=root, clock=clock))


# events


async def test_every_transition_is_an_event_with_its_name(
    tmp_path: Path, clock: FakeClock, journal: Journal
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        async with build.turn() as turn:
            async with turn.phase("Coach Validation") as phase:
                phase.fail("flaky")
            turn.decide("approve", "well done")
    assert [entry["event"] for entry in journal()] == [
        "build.started",
        "turn.started",
        "phase.started",
        "failed",
        "phase.ended",
        "decided",
        "turn.ended",
        "build.ended",
    ]


async def test_heartbeats_and_updates_are_no_events(
    tmp_path: Path, clock: FakeClock, journal: Journal
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        build.update(files_created=1, message="here")
        await clock.advance(20.0)
    assert [entry["event"] for entry in journal()] == ["build.started", "build.ended"]


async def test_an_event_says_when_by_whom_and_what(
    tmp_path: Path, clock: FakeClock, journal: Journal, on_disk: OnDisk
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        await clock.advance(1.25)
        build.update(tests_passed=1, tests_total=1)
        build.decide("approve")
    started, decided, ended = journal()
    assert list(decided) == ["event", "at", "run_id", "seq", "progress"]
    assert [entry["at"] for entry in (started, decided)] == [
        "2025-01-31T12:34:56.000Z",
        "2025-01-31T12:34:57.250Z",
    ]
    assert decided["progress"]["metrics"]["tests_passed"] == 1
    assert decided["progress"]["decision"] == "approve"
    assert ended["progress"] == on_disk()
    assert ended["run_id"] == on_disk()["tracker"]["run_id"]


async def test_seq_rises_strictly_from_event_to_event(
    tmp_path: Path, clock: FakeClock, journal: Journal
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        for _ in range(3):
            async with build.turn() as turn:
                for name in ("Player Implementation", "Coach Validation"):
                    async with turn.phase("Outer"), turn.phase(name):
                        build.update(message="here")
                turn.decide("feedback")
    numbers = [entry["seq"] for entry in journal()]
    assert numbers == sorted(set(numbers))
    assert all(entry["seq"] == entry["progress"]["tracker"]["seq"] for entry in journal())
    assert all(re.fullmatch(r"2025-01-31T12:34:56\.\d{3}Z", entry["at"]) for entry in journal())


async def test_the_journal_of_an_earlier_run_is_kept(
    tmp_path: Path, clock: FakeClock, journal: Journal
) -> None:
    for _ in range(2):
        async with track_build("TASK-1", root=tmp_path, clock=clock):
            pass
    assert [entry["event"] for entry in journal()] == ["build.started", "build.ended"] * 2
    assert len({entry["run_id"] for entry in journal()}) == 2


async def test_what_is_no_sink_is_refused_at_the_call() -> None:
    with pytest.raises(MisuseError, match="5 is no sink"):
        track_build("TASK-1", root=None, sinks=[5])  # type: ignore[list-item]
