"""Looks in short: what they read, and with how little."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import guardkit
from guardkit import InvalidProgressError, InvalidTaskIdError, Snapshot, track_build
from guardkit.monitor import brief
from guardkit.monitor.builds import Builds
from guardkit.progress import snapshot
from guardkit.progress.snapshot import Metrics, Tasks, Tracker, Usage, Work, encode, make_event
from guardkit.testing import FakeClock

from ..looks import START, Writer, document


def plain(value: Any) -> Any:
    """Return the fields of a brief, or of a snapshot, all the way down."""
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, brief.Brief):
        return {name: plain(each) for name, each in vars(value).items()}
    return value


FULL = document(
    build_id="FEAT-1",
    build_type="feature",
    status="failed",
    wave=2,
    wave_total=3,
    task_name="Täsk",
    turn=4,
    phase="Coach Validation",
    phase_status="in_progress",
    metrics=Metrics(
        elapsed_seconds=1, files_created=2, files_modified=3, tests_passed=4, tests_total=5
    ),
    message="m",
    decision="d",
    error="e",
    work=Work(4200, 11800, "rows"),
    usage=Usage(1000, 0.25),
    tasks=Tasks(total=6, pending=1, running=1, completed=2, failed=1, cancelled=1),
    tracker=Tracker(
        run_id="r",
        seq=7,
        host="box",
        pid=8,
        heartbeat_seconds=5.0,
        activity_at=START,
        phase_started_at=START,
        phase_number=9,
        budget_seconds=900.0,
        boot_id="b",
        beat=1.5,
        lock="1:2",
        parent_run="p",
    ),
)


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(document(tracker=Tracker()), id="with defaults"),
        pytest.param(FULL, id="full"),
        pytest.param(document(work=Work(3)), id="work without an end"),
    ],
)
def test_a_brief_has_all_that_a_snapshot_has(seen: Snapshot) -> None:
    found = brief.decode(encode(seen))
    assert plain(found) == plain(seen)
    assert found.terminal == seen.terminal


LEAST = {
    "build_id": "TASK-1",
    "task_id": "TASK-1",
    "turn_max": 5,
    "started_at": "2025-01-31T12:34:56Z",
    "updated_at": "2025-01-31T12:34:56Z",
}
WHOLE: dict[str, Any] = json.loads(encode(document(tracker=Tracker(run_id="r"))))


def with_tracker(**changes: Any) -> dict[str, Any]:
    return {"tracker": WHOLE["tracker"] | changes}


@pytest.mark.parametrize("document", [LEAST, WHOLE], ids=["least", "whole"])
@pytest.mark.parametrize(
    "values",
    [
        pytest.param({}, id="nothing else"),
        pytest.param({"turn": "2"}, id="a text for a number"),
        pytest.param({"turn": -1}, id="below zero"),
        pytest.param({"wave": 0}, id="below one"),
        pytest.param({"turn": 2**53}, id="inexact"),
        pytest.param({"turn": 10**4000}, id="endless digits"),
        pytest.param({"turn": True}, id="a truth for a number"),
        pytest.param({"turn": 1.0}, id="a fraction"),
        pytest.param({"task_name": 5}, id="a number for a text"),
        pytest.param({"status": "x\x1b[31m"}, id="an unknown status"),
        pytest.param({"message": ["m"]}, id="a list"),
        pytest.param({"message": "a\ud800"}, id="a lone surrogate"),
        pytest.param({"message": "a\x1b[31m\n"}, id="control characters"),
        pytest.param({"\ud800": 1}, id="a lone surrogate in a name"),
        pytest.param({"metrics": None}, id="null"),
        pytest.param({"tracker": []}, id="a list for an object"),
        pytest.param({"metrics": {"tests_total": None}}, id="null in an object"),
        pytest.param({"updated_at": "yesterday"}, id="no instant"),
        pytest.param({"updated_at": 5}, id="a number for an instant"),
        pytest.param({"updated_at": "2025-W05-5T12:34:56Z"}, id="a week"),
        pytest.param({"updated_at": "2025-01-31T12:34:56"}, id="no zone"),
        pytest.param({"updated_at": "2025-01-31T14:34:56+02:00"}, id="another zone"),
        pytest.param({"updated_at": "0001-01-01T00:00:00+23:59"}, id="before all time"),
        pytest.param({"work": {"done": 3}}, id="an object with defaults"),
        pytest.param({"news": {"of": "later"}}, id="unknown"),
        pytest.param(with_tracker(activity_at=None), id="no activity"),
        pytest.param(with_tracker(beat=float("nan")), id="not a number"),
        pytest.param(with_tracker(beat=float("inf")), id="infinite"),
        pytest.param(with_tracker(beat=-1.0), id="a beat below zero"),
        pytest.param(with_tracker(heartbeat_seconds=5), id="a whole number for a fraction"),
        pytest.param(with_tracker(budget_seconds="1"), id="a text for a fraction"),
        pytest.param(with_tracker(pid=-1), id="a process below zero"),
        pytest.param(with_tracker(schema_version=2), id="a newer schema"),
    ],
)
def test_a_document_is_read_or_refused_as_in_whole(
    document: dict[str, Any], values: dict[str, Any]
) -> None:
    text = json.dumps(document | values).encode()
    assert outcome(brief.decode, text) == outcome(snapshot.decode, text)


def outcome(decode: Callable[[bytes], Snapshot], text: bytes) -> Any:
    try:
        return plain(decode(text))
    except InvalidProgressError:
        return None


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="half"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"{}", id="no task"),
        pytest.param(b'{"task_id": "\xff"}', id="not UTF-8"),
        pytest.param('{"task_id": "T"}'.encode("utf-16"), id="UTF-16"),
        pytest.param(b'{"x":' * 100_000, id="nested too deeply"),
        pytest.param(b"1" * 5000, id="endless digits"),
    ],
)
def test_what_is_no_progress_file_is_refused_in_one_line(text: bytes) -> None:
    with pytest.raises(InvalidProgressError, match="not a progress file") as raised:
        brief.decode(text)
    assert "\n" not in str(raised.value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=10,
    )
)
def test_json_is_parsed_as_json_does_it(value: object) -> None:
    text = json.dumps(value)
    if "Infinity" not in text:
        assert brief.parse(text) == value


@pytest.mark.parametrize(
    "text", ["", "x", "{", "[1", '{"a":', '{"a" 1}', "{} x", "NaN", "-Infinity", '"\n"', "1" * 5000]
)
def test_what_is_no_json_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - in the words of json
        brief.parse(text)


# looks


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / ".guardkit/autobuild/TASK-1/progress.json"
    path.parent.mkdir(parents=True)
    return path


def look(root: Path, clock: FakeClock, *task_ids: str) -> dict[str, tuple[str, str]]:
    """Return what was found in brief, which is what is found when all is read, by task id."""
    found = brief.look(root, task_ids, clock=clock)
    looks = Builds(root, clock=clock).look_now(task_ids)
    assert [(each.task_id, each.verdict) for each in looks] == [
        (task_id, verdict) for task_id, (_, verdict) in found.items()
    ]
    assert [plain(each.snapshot) for each in looks] == [plain(seen) for seen, _ in found.values()]
    return {task_id: (verdict.state, verdict.evidence) for task_id, (_, verdict) in found.items()}


@pytest.mark.anyio
async def test_builds_are_looked_at_as_they_are_in_whole(tmp_path: Path, clock: FakeClock) -> None:
    async with track_build("TASK-2", root=tmp_path, clock=clock):
        pass
    async with track_build("TASK-1", root=tmp_path, clock=clock, turn_max=7):
        await clock.advance(3.0)
        assert look(tmp_path, clock) == {
            "TASK-1": ("running", "last activity 3 s ago"),
            "TASK-2": ("completed", "ended after 0 s"),
        }


def test_a_build_that_was_left_is_looked_at_as_it_is_in_whole(
    tmp_path: Path, path: Path, clock: FakeClock
) -> None:
    clock.jump(3600.0)
    path.write_bytes(encode(document(tracker=Tracker(run_id="r", heartbeat_seconds=5.0))))
    assert look(tmp_path, clock)["TASK-1"][0] == "lost"
    end = make_event("build.ended", START, document(status="failed", tracker=Tracker(run_id="r")))
    path.with_name("events.jsonl").write_bytes(msgspec.json.encode(end) + b"\n{")
    assert look(tmp_path, clock)["TASK-1"] == ("failed", "ended after 0 s")


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b'{"event": "build.ended"}', id="no document"),
        pytest.param(b"[[" * 100_000, id="nested too deeply"),
        pytest.param(b'{"event": "build.ended", "run_id": "\xff"}', id="not UTF-8"),
    ],
)
def test_what_is_no_event_is_no_end(
    tmp_path: Path, path: Path, clock: FakeClock, line: bytes
) -> None:
    clock.jump(3600.0)
    path.write_bytes(encode(document(tracker=Tracker(run_id="r", heartbeat_seconds=5.0))))
    path.with_name("events.jsonl").write_bytes(line)
    assert look(tmp_path, clock)["TASK-1"][0] == "lost"


def test_a_task_that_was_taken_is_looked_at_as_it_is_in_whole(
    tmp_path: Path, writer: Writer, clock: FakeClock
) -> None:
    writer.put(document())
    writer.hold(run_id="another")
    assert look(tmp_path, clock)["TASK-1"][1].startswith("another process has taken TASK-1")


@pytest.mark.parametrize(
    ("words", "state"),
    [
        pytest.param('"status": "failed", "error": "a\\ud800"', "unreadable", id="a surrogate"),
        pytest.param('"status": "a\\n\\u001b[31m"', "unreadable", id="no status"),
        pytest.param('"status": "failed", "error": "a\\n\\u001b[31m"', "failed", id="controls"),
        pytest.param(
            '"tracker": {"host": "a\\n\\u202e", "heartbeat_seconds": 5}', "lost", id="a host"
        ),
    ],
)
def test_all_say_the_same_in_a_printable_line_of_what_others_write(
    tmp_path: Path, path: Path, clock: FakeClock, words: str, state: str
) -> None:
    clock.jump(3600.0)
    path.write_text(json.dumps(LEAST)[:-1] + f", {words}}}")
    found, evidence = look(tmp_path, clock)["TASK-1"]
    assert (found, evidence.isprintable()) == (state, True)


def test_what_is_no_progress_file_is_unreadable(
    tmp_path: Path, path: Path, clock: FakeClock
) -> None:
    path.write_bytes(b"{")
    [(state, evidence)] = look(tmp_path, clock).values()
    assert (state, evidence.startswith(f"{path}: not a progress file")) == ("unreadable", True)


def test_ids_without_a_build_are_left_out(tmp_path: Path, clock: FakeClock) -> None:
    assert brief.look(tmp_path, ["TASK-1"], clock=clock) == {}
    with pytest.raises(InvalidTaskIdError):
        brief.look(tmp_path, ["../TASK-1"], clock=clock)


def test_the_folder_is_the_working_one_and_the_clock_the_machine_s_unless_given(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(encode(document()))
    monkeypatch.chdir(tmp_path)
    assert list(brief.look()) == ["TASK-1"]


def test_a_look_in_short_needs_the_standard_library_alone_and_of_that_the_cheap_part(
    tmp_path: Path, path: Path
) -> None:
    path.write_bytes(encode(document()))
    program = """
import sys
sys.path.insert(0, sys.argv[1])
from guardkit.monitor.brief import look
assert list(look(sys.argv[2])) == ["TASK-1"]
dear = {"typing", "msgspec", "asyncio", "pathlib", "dataclasses", "inspect", "logging", "re"}
print(sorted(dear & sys.modules.keys()))
"""
    home = str(Path(guardkit.__file__).parents[1])
    command = (sys.executable, "-I", "-S", "-c", program, home, str(tmp_path))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
