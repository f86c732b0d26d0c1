"""Arguments without a meaning are refused at the call, before anything is taken or written."""

import os
from pathlib import Path
from typing import Any

import pytest

from guardkit import (
    InvalidTaskIdError,
    MisuseError,
    track_build,
)
from guardkit.testing import FakeClock

from ..shown import seq

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]


COUNTS = ["files_created", "files_modified", "tests_passed", "tests_total"]


NOT_COUNTS = {"negative": -1, "bool": True, "float": 1.0, "text": "1", "NaN": float("nan")}


NOT_ORDINALS = NOT_COUNTS | {"zero": 0, "none": None}


NOT_SECONDS = {"negative": -1.0, "NaN": float("nan"), "bool": True, "text": "1", "huge": 10**400}


BUDGETS = NOT_SECONDS | {"zero": 0.0}


# track_build


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
    with pytest.raises(MisuseError, match=f"{name}=.* is not valid: "):
        track_build("TASK-1", root=tmp_path, **{name: value})
    assert os.listdir(tmp_path) == []


async def test_an_empty_build_id_is_refused_at_the_call(tmp_path: Path) -> None:
    with pytest.raises(MisuseError, match="build_id='' is not valid: "):
        track_build("TASK-1", build_id="", root=tmp_path)
    assert os.listdir(tmp_path) == []


async def test_a_number_of_tasks_is_refused_where_there_is_no_feature(tmp_path: Path) -> None:
    with pytest.raises(MisuseError, match="task_total=3 is of a feature: pass build_type="):
        track_build("TASK-1", task_total=3, root=tmp_path)
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
    with pytest.raises(MisuseError, match=f"{name}=.* is not valid: "):
        track_build("TASK-1", root=tmp_path, **{name: value})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("value", [5, 0, b"x", ["x"]], ids=repr)
@pytest.mark.parametrize("name", ["build_id", "task_name"])
async def test_what_is_no_text_is_refused_at_the_call(
    tmp_path: Path, name: str, value: Any
) -> None:
    with pytest.raises(MisuseError, match=f"{name}=.* is not valid: Expected `str`"):
        track_build("TASK-1", root=tmp_path, **{name: value})
    assert os.listdir(tmp_path) == []


async def test_a_type_of_build_that_is_unknown_is_refused_at_the_call(tmp_path: Path) -> None:
    with pytest.raises(MisuseError, match="build_type='epic' is not valid"):
        track_build("TASK-1", root=tmp_path, build_type="epic")  # type: ignore[arg-type]
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("root", "remedy"),
    [
        pytest.param(5, r"root=5 is no path: pass text, a Path, or None for no files", id="5"),
        pytest.param(b"x", r"root=b'x' is not valid: Expected `str`", id="bytes"),
    ],
)
async def test_what_is_no_path_is_refused_at_the_call(root: Any, remedy: str) -> None:
    with pytest.raises(MisuseError, match=remedy):
        track_build("TASK-1", root=root)


async def test_the_build_id_is_the_task_id_unless_it_is_given(clock: FakeClock) -> None:
    assert track_build("TASK-1", clock=clock).snapshot.build_id == "TASK-1"
    assert track_build("TASK-1", build_id="B", clock=clock).snapshot.build_id == "B"


async def test_a_build_that_is_only_made_writes_nothing(tmp_path: Path) -> None:
    track_build("TASK-1", root=tmp_path)
    assert os.listdir(tmp_path) == []


# a build


@pytest.mark.parametrize("value", NOT_COUNTS.values(), ids=NOT_COUNTS)
@pytest.mark.parametrize("name", COUNTS)
async def test_what_is_no_count_is_refused_at_the_call(
    clock: FakeClock, name: str, value: Any
) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        with pytest.raises(MisuseError, match=f"{name}=.* is not valid: "):
            build.update(**{name: value})
        assert seq(build) == 1


@pytest.mark.parametrize("value", [5, b"x", ["x"], True], ids=repr)
async def test_a_message_that_is_no_text_is_refused_at_the_call(
    clock: FakeClock, value: Any
) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        with pytest.raises(MisuseError, match=r"message=.* is not valid: Expected `str`"):
            build.update(message=value)
        with pytest.raises(MisuseError, match=r"message=.* is not valid: Expected `str`"):
            build.decide("approve", value)
        assert seq(build) == 1


@pytest.mark.parametrize("value", [5, None, b"x"], ids=repr)
async def test_a_decision_or_a_reason_that_is_no_text_is_refused_at_the_call(
    clock: FakeClock, value: Any
) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        with pytest.raises(MisuseError, match=r"decision=.* is not valid: Expected `str`"):
            build.decide(value)
        with pytest.raises(MisuseError, match=r"reason=.* is not valid: Expected `str`"):
            build.fail(value)
        assert seq(build) == 1
    assert build.snapshot.status == "completed"


@pytest.mark.parametrize("budget", BUDGETS.values(), ids=BUDGETS)
async def test_a_budget_that_is_no_time_is_refused(clock: FakeClock, budget: Any) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        with pytest.raises(MisuseError, match=r"budget=.* is not valid: "):
            build.phase("Setup", budget=budget)


@pytest.mark.parametrize("name", [5, None, b"x"], ids=repr)
async def test_the_name_of_a_phase_is_text(clock: FakeClock, name: Any) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        with pytest.raises(MisuseError, match=r"name=.* is not valid: Expected `str`"):
            build.phase(name)
