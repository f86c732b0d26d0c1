"""The document: its keys, its size, its schema, and what a reader makes of any other one."""

import asyncio
import json
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from guardkit import InvalidProgressError, MisuseError, Snapshot, read_progress, track_build
from guardkit.progress.lock import boot_id
from guardkit.progress.order import moved
from guardkit.progress.snapshot import (
    COUNT_MAX,
    Ordinal,
    Tracker,
    check,
    clip,
    decode,
    encode,
    is_newer,
    make_event,
    schema,
)
from guardkit.testing import FakeClock, MemorySink

OnDisk = Callable[[], dict[str, Any]]

KEYS = [
    "build_id",
    "build_type",
    "status",
    "wave",
    "wave_total",
    "task_id",
    "task_name",
    "turn",
    "turn_max",
    "phase",
    "phase_status",
    "metrics",
    "started_at",
    "updated_at",
]
ADDED = ["message", "decision", "error", "work", "usage", "tasks", "tracker"]
METRICS = ["elapsed_seconds", "files_created", "files_modified", "tests_passed", "tests_total"]
TRACKER = [
    "schema_version",
    "run_id",
    "seq",
    "host",
    "pid",
    "heartbeat_seconds",
    "activity_at",
    "phase_started_at",
    "phase_number",
    "budget_seconds",
    "boot_id",
    "beat",
    "lock",
    "parent_run",
]
FOREIGN = {
    "build_id": "B-1",
    "build_type": "feature",
    "status": "running",
    "wave": 1,
    "wave_total": 3,
    "task_id": "TASK-1",
    "task_name": "Do it",
    "turn": 2,
    "turn_max": 5,
    "phase": "Coach Validation",
    "phase_status": "in_progress",
    "metrics": dict.fromkeys(METRICS, 7),
    "started_at": "2025-01-31T12:34:56Z",
    "updated_at": "2025-01-31T12:35:00Z",
}
UNITS = {
    "control characters": "\x00",
    "escapes of two": "\n",
    "4-byte emoji": "\U0001f600",
    "3-byte letters": "語",
    "lone surrogates": "\ud800",
    "surrogates the wrong way round": "\ude00\ud83d",
    "surrogate pairs": "\ud83d\ude00",
    "quotes and backslashes": '"\\',
    "line separators": "\u2028\x7f",
    "letters": "x",
}
SIZES = [3, 4, 5, 6, 7, 8, 11, 12, 13, 64, 256, 640]


class BrokenError(Exception):
    """What ends the build of a test."""


def strange(seed: int) -> str:
    """Return a text of up to forty pieces of all kinds, the same for the same seed."""
    random = Random(seed)  # noqa: S311
    pieces = [*UNITS.values(), "\ufeff", "a", "\ud83d", "\ude00", "é", "e\u0301", "\U0010ffff"]
    return "".join(random.choices(pieces, k=random.randrange(40)))


TEXTS = pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        *(pytest.param(unit * 300, id=name) for name, unit in UNITS.items()),
        *(pytest.param("a" + unit * 300, id=f"{name}, shifted") for name, unit in UNITS.items()),
        *(pytest.param(strange(seed), id=f"seed {seed}") for seed in range(60)),
    ],
)


def size(text: str) -> int:
    """Return how many bytes a text takes in JSON, without its quotes."""
    return len(msgspec.json.encode(text)) - 2


def repaired(text: str) -> str:
    """Return a text whose surrogates are joined where they are pairs, else replaced."""
    joined = re.sub(
        "[\ud800-\udbff][\udc00-\udfff]",
        lambda pair: chr(0x10000 + (ord(pair[0][0]) - 0xD800) * 1024 + ord(pair[0][1]) - 0xDC00),
        text,
    )
    return re.sub("[\ud800-\udfff]", "\ufffd", joined)


# the keys


@pytest.mark.anyio
async def test_the_fourteen_published_keys_come_first_and_the_others_after_them(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        document = on_disk()
    assert list(document) == KEYS + ADDED
    assert list(document["metrics"]) == METRICS
    assert list(document["tracker"]) == TRACKER


@pytest.mark.anyio
async def test_a_document_before_its_first_turn_says_what_is_known(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        document = on_disk()
    tracker = document.pop("tracker")
    assert document == {
        "build_id": "TASK-1",
        "build_type": "task",
        "status": "running",
        "wave": 1,
        "wave_total": 1,
        "task_id": "TASK-1",
        "task_name": "",
        "turn": 0,
        "turn_max": 5,
        "phase": "",
        "phase_status": "",
        "metrics": dict.fromkeys(METRICS, 0),
        "started_at": "2025-01-31T12:34:56Z",
        "updated_at": "2025-01-31T12:34:56Z",
        "message": None,
        "decision": None,
        "error": None,
        "work": None,
        "usage": None,
        "tasks": None,
    }
    assert (tracker["schema_version"], tracker["seq"], tracker["heartbeat_seconds"]) == (1, 1, 5)
    assert (tracker["phase_started_at"], tracker["budget_seconds"]) == (None, None)
    assert (tracker["phase_number"], tracker["beat"], tracker["parent_run"]) == (0, 0.0, None)


@pytest.mark.anyio
async def test_a_document_says_which_file_is_locked_and_in_which_boot_of_the_machine(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        tracker = on_disk()["tracker"]
        status = (tmp_path / ".guardkit/autobuild/.lock").stat()
    assert tracker["lock"] == f"{status.st_dev}:{status.st_ino}"
    assert tracker["boot_id"] == boot_id() != ""


@pytest.mark.anyio
async def test_a_beat_is_the_monotonic_time_of_the_last_write(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        for heartbeat in (5.0, 10.0, 15.0):
            await clock.advance(5.0)
            clock.jump(-100.0)
            assert on_disk()["tracker"]["beat"] == heartbeat


@pytest.mark.anyio
async def test_the_document_is_indented_by_two_and_ends_in_a_line_feed(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        text = (tmp_path / ".guardkit/autobuild/TASK-1/progress.json").read_text()
    assert text == json.dumps(json.loads(text), indent=2, ensure_ascii=False) + "\n"


@pytest.mark.anyio
async def test_seq_rises_by_one_with_what_differs_and_not_with_heartbeats(clock: FakeClock) -> None:
    sink = MemorySink(transitions=True)
    async with track_build("TASK-1", root=None, clock=clock, sinks=[sink]) as build:
        async with build.phase("Setup"):
            await clock.advance(5.0)
            build.update(files_created=1)
            await clock.advance(8.0)
    numbers = [snapshot.tracker.seq for snapshot in sink.snapshots]
    assert numbers == [1, 2, 2, 3, 3, 4, 5]


# the size


@pytest.mark.anyio
@pytest.mark.parametrize("unit", UNITS.values(), ids=UNITS)
async def test_the_document_is_of_at_most_4_kib_whatever_goes_in(
    tmp_path: Path, clock: FakeClock, unit: str
) -> None:
    text, task_id, count, usage = unit * 5000, "T" * 128, 10**400, float.fromhex("0x1.1p+49")
    path = tmp_path / ".guardkit/autobuild" / task_id / "progress.json"
    sizes: list[int] = []
    with pytest.raises(BrokenError):
        async with track_build(
            task_id,
            build_id=text,
            task_name=text,
            build_type="feature",
            task_total=2**53 - 1,
            root=tmp_path,
            clock=clock,
            heartbeat=0.00123456789012345,
        ) as build:
            async with build.turn() as turn, turn.phase(text, budget=1e300):
                build.update(
                    files_created=count,
                    files_modified=count,
                    tests_passed=count,
                    tests_total=count,
                    message=text,
                )
                build.count(count, count, text)
                build.spent(tokens=count, cost_usd=usage + 0.123456)
                turn.decide(text)
                turn.fail(text)
                await clock.advance(0.0)
                sizes.append(path.stat().st_size)
            raise BrokenError(text)
    sizes.append(path.stat().st_size)
    assert max(sizes) <= 4096
    assert read_progress(task_id, root=tmp_path) == build.snapshot


@pytest.mark.anyio
async def test_texts_of_100_megabytes_are_cut(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    text = "x" * 100_000_000
    with pytest.raises(ValueError, match="xxx"):
        async with track_build("TASK-1", task_name=text, root=tmp_path, clock=clock) as build:
            build.update(message=text)
            build.decide(text)
            raise ValueError(text)
    assert on_disk()["message"].endswith("x…")
    assert on_disk()["decision"] == "x" * 64
    assert on_disk()["error"].startswith("ValueError: xxx")
    assert len(encode(build.snapshot)) <= 4096


@pytest.mark.anyio
async def test_counts_stop_at_what_every_json_reader_can_hold(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        build.update(files_created=10**400, tests_total=2**53)
    assert on_disk()["metrics"]["files_created"] == COUNT_MAX
    assert on_disk()["metrics"]["tests_total"] == COUNT_MAX


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["wave", "wave_total", "turn_max", "heartbeat"])
async def test_numbers_that_no_document_can_hold_are_refused_or_fit_into_4_kib(
    tmp_path: Path, clock: FakeClock, name: str
) -> None:
    number: dict[str, Any] = {name: 10**4000}
    try:
        async with track_build("TASK-1", root=tmp_path, clock=clock, **number) as build:
            pass
    except MisuseError:
        return
    assert len(encode(build.snapshot)) <= 4096
    assert read_progress("TASK-1", root=tmp_path) == build.snapshot


@TEXTS
def test_a_clipped_text_takes_at_most_its_size(text: str) -> None:
    assert [room for room in SIZES if size(clip(text, room)) > room] == []


@TEXTS
def test_a_text_that_fits_is_kept_whole(text: str) -> None:
    whole = repaired(text)
    assert clip(text, size(whole)) == whole
    assert clip(text, size(whole) + 1) == whole


@TEXTS
def test_of_a_text_that_does_not_fit_as_much_is_kept_as_does(text: str) -> None:
    whole = repaired(text)
    for room in (room for room in SIZES if room < size(whole)):
        kept = clip(text, room).removesuffix("…")
        assert clip(text, room) == kept + "…"
        assert whole.startswith(kept)
        assert size(whole[: len(kept) + 1] + "…") > room


@TEXTS
def test_a_clipped_text_is_clipped_no_further(text: str) -> None:
    assert clip(clip(text, 64), 64) == clip(text, 64)


# the schema


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(schema())


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("status", "end"),
    [("completed", None), ("failed", BrokenError("no")), ("cancelled", asyncio.CancelledError())],
    ids=["completed", "failed", "cancelled"],
)
async def test_every_document_is_valid_and_decodes_to_an_equal_snapshot(
    clock: FakeClock, status: str, end: BaseException | None
) -> None:
    sink = MemorySink(transitions=True)
    with suppress(BrokenError, asyncio.CancelledError):
        async with track_build(
            "TASK-1", root=None, clock=clock, sinks=[sink], wave=2, wave_total=3
        ) as build:
            async with build.phase("Setup", budget=1.5):
                await clock.advance(7.7)
            async with build.turn(3) as turn:
                async with turn.phase("Player Implementation"):
                    build.update(files_created=2, message="writing tests")
                    await clock.advance(0.1)
                async with turn.phase("Coach Validation") as phase:
                    phase.fail("flaky")
                turn.decide("feedback", "not yet")
            build.count(1, None, "rows")
            build.spent(tokens=5, cost_usd=0.1)
            if end:
                raise end
    assert sink.snapshots[-1].status == status
    for snapshot in sink.snapshots:
        Draft202012Validator(schema()).validate(json.loads(encode(snapshot)))
        assert decode(encode(snapshot)) == snapshot


@pytest.mark.anyio
async def test_a_budget_without_end_decodes_to_an_equal_snapshot(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        async with build.phase("Setup", budget=float("inf")):
            assert read_progress("TASK-1", root=tmp_path) == build.snapshot


# what others have written


def test_the_first_fourteen_keys_alone_are_a_document() -> None:
    snapshot = decode(json.dumps(FOREIGN).encode())
    assert (snapshot.task_name, snapshot.turn, snapshot.metrics.tests_total) == ("Do it", 2, 7)
    assert snapshot.started_at == datetime(2025, 1, 31, 12, 34, 56, tzinfo=UTC)
    assert (snapshot.message, snapshot.decision, snapshot.error) == (None, None, None)
    assert snapshot.tracker == Tracker()


def test_the_first_fourteen_keys_alone_are_valid() -> None:
    Draft202012Validator(schema()).validate(FOREIGN)


def test_unknown_keys_are_ignored_at_every_level() -> None:
    document = FOREIGN | {"metrics": {"tokens": 5}, "colour": [{"deep": {}}]}
    assert decode(json.dumps(document).encode()).metrics.tests_total == 0


def test_times_of_another_zone_are_the_same_instants() -> None:
    document = FOREIGN | {"started_at": "2025-01-31T14:34:56+02:00"}
    snapshot = decode(json.dumps(document).encode())
    assert snapshot.started_at == datetime(
        2025, 1, 31, 14, 34, 56, tzinfo=timezone(timedelta(hours=2))
    )


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"status": "paused"}, id="unknown status"),
        pytest.param({"turn": -1}, id="negative turn"),
        pytest.param({"wave": 0}, id="wave 0"),
        pytest.param({"turn": 1.5}, id="half a turn"),
        pytest.param({"updated_at": "2025-01-31T12:34:56"}, id="time without a zone"),
        pytest.param({"task_id": None}, id="no task id"),
    ],
)
def test_what_the_published_keys_cannot_mean_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(InvalidProgressError):
        decode(json.dumps(FOREIGN | change).encode())


@pytest.mark.parametrize(
    ("status", "terminal"),
    [("running", False), ("completed", True), ("failed", True), ("cancelled", True)],
)
def test_a_build_that_does_not_run_is_terminal(status: str, terminal: bool) -> None:
    snapshot = decode(json.dumps(FOREIGN | {"status": status}).encode())
    assert snapshot.terminal is terminal


def test_a_snapshot_cannot_be_changed() -> None:
    snapshot: Any = msgspec.convert(FOREIGN, Snapshot)
    with pytest.raises(AttributeError):
        snapshot.turn = 3


# which of two is newer


def document(**tracker: Any) -> Snapshot:
    return decode(json.dumps(FOREIGN | {"tracker": {"run_id": "a"} | tracker}).encode())


@pytest.mark.parametrize(
    ("one", "than", "newer"),
    [
        pytest.param({"seq": 2}, {"seq": 1}, True, id="a higher number"),
        pytest.param({"seq": 1}, {"seq": 2}, False, id="a lower number"),
        pytest.param({"seq": 1, "beat": 2}, {"seq": 1, "beat": 1}, True, id="a later beat"),
        pytest.param({"seq": 1, "beat": 1}, {"seq": 1, "beat": 2}, False, id="an earlier beat"),
        pytest.param({"seq": 2, "beat": 1}, {"seq": 1, "beat": 9}, True, id="number before beat"),
        pytest.param({"seq": 1, "beat": 1}, {"seq": 1, "beat": 1}, False, id="the same"),
        pytest.param({"run_id": "b", "seq": 1}, {"seq": 9}, True, id="another run"),
    ],
)
def test_of_two_snapshots_of_a_run_the_number_and_then_the_beat_tells_the_newer(
    one: dict[str, Any], than: dict[str, Any], newer: bool
) -> None:
    assert is_newer(document(**one), document(**than)) is newer


def test_any_snapshot_is_newer_than_none() -> None:
    assert is_newer(document(), None)


def test_nothing_of_a_run_is_newer_than_its_end() -> None:
    end = msgspec.structs.replace(document(seq=1), status="completed")
    assert not is_newer(document(seq=2), end)
    assert is_newer(document(run_id="b"), end)


@pytest.mark.parametrize(
    ("change", "has_moved"),
    [
        pytest.param({}, False, id="nothing"),
        pytest.param({"updated_at": "2025-01-31T13:35:00Z"}, False, id="the time"),
        pytest.param({"metrics": dict.fromkeys(METRICS, 8)}, False, id="counts"),
        pytest.param({"message": "here"}, False, id="the message"),
        pytest.param({"wave": 2}, True, id="the wave"),
        pytest.param({"turn": 3}, True, id="the turn"),
        pytest.param({"phase": "Setup"}, True, id="the phase"),
        pytest.param({"phase_status": "failed"}, True, id="the status of the phase"),
        pytest.param({"status": "failed"}, True, id="the status"),
        pytest.param({"decision": "approve"}, True, id="the decision"),
        pytest.param({"error": "no"}, True, id="the error"),
        pytest.param({"tracker": {"run_id": "b"}}, True, id="the run"),
        pytest.param({"tracker": {"run_id": "a", "phase_number": 1}}, True, id="phase number"),
        pytest.param(
            {"tracker": {"run_id": "a", "phase_started_at": "2025-01-31T12:34:58Z"}},
            False,
            id="when the phase began, as a clock was set",
        ),
        pytest.param({"tracker": {"run_id": "a", "seq": 7, "beat": 3}}, False, id="the number"),
    ],
)
def test_a_snapshot_has_moved_when_a_transition_lies_between(
    change: dict[str, Any], has_moved: bool
) -> None:
    after = decode(json.dumps(FOREIGN | {"tracker": {"run_id": "a"}} | change).encode())
    assert moved(after, document()) is has_moved


def test_any_snapshot_has_moved_since_none() -> None:
    assert moved(document(), None)


def test_an_event_says_when_it_was_in_utc_to_the_millisecond() -> None:
    at = datetime(2025, 1, 31, 12, 34, 56, 789999, tzinfo=UTC)
    event = make_event("decided", at, document())
    assert event.at == "2025-01-31T12:34:56.789Z"


def test_the_schema_names_its_dialect() -> None:
    assert schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_what_is_no_document_is_refused_with_the_reason() -> None:
    with pytest.raises(InvalidProgressError) as raised:
        decode(b"{}")
    words = (
        "not a progress file, or one for a newer guardkit: Object missing required field `build_id`"
    )
    assert str(raised.value) == words


def test_an_argument_is_refused_by_its_name_and_value() -> None:
    with pytest.raises(MisuseError, match=r"^turn_max=0 is not valid: Expected `int` >= 1$"):
        check("turn_max", 0, Ordinal)


def test_of_a_text_of_a_kind_of_its_own_only_the_text_is_kept() -> None:
    class Name(str):
        __slots__ = ()

    assert type(check("name", Name("Setup"), str)) is str
