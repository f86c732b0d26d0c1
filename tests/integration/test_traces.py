"""Traces, as a real receiver gets them over HTTP."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

from guardkit import Build, track_build
from guardkit.orchestrator.demo import TASK_ID, TEST, make_demo
from guardkit.places.traces import TraceSink
from guardkit.testing import FakeClock

from ..otlp_receiver import Receiver
from .test_autobuild import PASSING
from .test_cli import complaint, guardkit

pytestmark = pytest.mark.anyio

JOB = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
LATER_JOB = "00-11111111111111111111111111111111-2222222222222222-01"
FEATURE: dict[str, Any] = {
    "BUILD FEAT-1": {
        "Setup": {},
        "wave 1": {"TASK-1": {"turn 1": {"Player Implementation": {}, "Coach Validation": {}}}},
        "wave 2": {"TASK-2": {"turn 1": {"Player Implementation": {}, "Coach Validation": {}}}},
    }
}
BUILDER = """
import asyncio, sys
from guardkit import track_build
from guardkit.places.traces import TraceSink

async def main():
    async with track_build("TASK-1", root=sys.argv[1], sinks=[TraceSink()]) as build:
        async with build.turn() as turn:
            async with turn.phase("Player Implementation"):
                pass
            async with turn.phase("Coach Validation"):
                await asyncio.Event().wait()

asyncio.run(main())
"""
FEATURE_BUILDER = """
import asyncio, sys
from guardkit import track_build
from guardkit.places.traces import TraceSink

async def main():
    feature = track_build(
        "FEAT-1", build_type="feature", root=sys.argv[1], sinks=[TraceSink()]
    )
    async with feature, feature.wave(1) as wave, wave.task("TASK-1") as build:
        async with build.turn() as turn:
            async with turn.phase("Player Implementation"):
                pass
            await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    receiver = Receiver()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
    yield receiver
    receiver.close()


async def take_turn(build: Build) -> None:
    async with build.turn() as turn:
        async with turn.phase("Player Implementation"):
            pass
        async with turn.phase("Coach Validation"):
            pass


async def build_feature(root: Path | None) -> None:
    feature = track_build(
        "FEAT-1", build_type="feature", wave_total=2, root=root, sinks=[TraceSink()]
    )
    async with feature:
        async with feature.phase("Setup"):
            pass
        for number in (1, 2):
            async with feature.wave(number) as wave, wave.task(f"TASK-{number}") as build:
                await take_turn(build)


def files(root: Path, task_id: str = "TASK-1") -> set[str]:
    return {path.name for path in (root / ".guardkit/autobuild" / task_id).iterdir()}


@pytest.mark.parametrize("on_disk", [True, False], ids=["on disk", "nowhere on disk"])
async def test_a_receiver_gets_the_tree_of_a_feature(
    receiver: Receiver, tmp_path: Path, *, on_disk: bool
) -> None:
    await build_feature(tmp_path if on_disk else None)
    assert receiver.tree() == FEATURE
    assert receiver.twice() == []
    assert len({span.trace_id for span in receiver.spans}) == 1
    assert {span.result for span in receiver.spans} == {"success"}
    assert [span.name for span in receiver.spans if span.kind == 2] == ["BUILD FEAT-1"]  # SERVER
    if on_disk:
        for task_id in ("FEAT-1", "TASK-1", "TASK-2"):
            assert files(tmp_path, task_id) == {"progress.json", "events.jsonl"}


async def test_it_is_sent_as_the_usual_variables_say(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-team=builds")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=ci")
    async with track_build("TASK-1", root=tmp_path, sinks=[TraceSink()]):
        pass
    [headers] = receiver.headers
    assert headers["x-team"] == "builds"
    [span] = receiver.spans
    assert span.resource["service.name"] == "guardkit"
    assert span.resource["deployment.environment.name"] == "ci"


async def test_the_user_may_name_the_service(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "our-builds")
    async with track_build("TASK-1", root=tmp_path, sinks=[TraceSink()]):
        pass
    assert receiver.span("BUILD TASK-1").resource["service.name"] == "our-builds"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TRACEPARENT", JOB.removesuffix("1") + "0"),
        ("OTEL_TRACES_SAMPLER", "always_off"),
        ("OTEL_SDK_DISABLED", "true"),
    ],
)
async def test_what_is_not_to_be_kept_is_not_sent(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    await build_feature(tmp_path)
    assert receiver.calls == 0
    assert files(tmp_path) == {"progress.json", "events.jsonl"}


async def test_a_build_is_part_of_the_span_that_it_was_started_in(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACEPARENT", JOB)
    async with track_build("TASK-1", root=tmp_path, sinks=[TraceSink()]):
        pass
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")
    with tracer.start_as_current_span("job") as job:
        sink = TraceSink()
    async with track_build("TASK-2", root=tmp_path, sinks=[sink]):
        pass
    first, second = receiver.span("BUILD TASK-1"), receiver.span("BUILD TASK-2")
    assert (first.trace_id, first.parent) == (JOB[3:35], JOB[36:52])
    context = job.get_span_context()
    assert second.trace_id == f"{context.trace_id:032x}"
    assert second.parent == f"{context.span_id:016x}"


def kill_a_builder(root: Path, receiver: Receiver, program: str = BUILDER) -> None:
    """Kill a builder when its first phase has been received."""
    builder = subprocess.Popen([sys.executable, "-c", program, root])
    try:
        receiver.wait(lambda: "Player Implementation" in receiver.names)
        notes = root / ".guardkit/autobuild/TASK-1/traces.json"
        while '"seq":0' in notes.read_text():  # noted right after it was received
            os.sched_yield()
    finally:
        builder.send_signal(signal.SIGKILL)
        builder.wait()


async def test_a_build_that_was_killed_is_ended_by_the_next_builder_and_no_span_comes_twice(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACEPARENT", JOB)
    kill_a_builder(tmp_path, receiver)
    assert receiver.names == ["Player Implementation"]
    monkeypatch.setenv("TRACEPARENT", LATER_JOB)
    async with track_build("TASK-1", root=tmp_path, sinks=[TraceSink()]) as build:
        async with build.turn(2):
            pass
    dead = [span for span in receiver.spans if span.trace_id == JOB[3:35]]
    assert [(span.name, span.result) for span in dead] == [
        ("Player Implementation", "success"),
        ("Coach Validation", "error"),
        ("turn 1", "error"),
        ("BUILD TASK-1", "error"),
    ]
    first, second, turn, whole = dead
    assert [span.parent for span in dead] == [turn.span_id, turn.span_id, whole.span_id, JOB[36:52]]
    assert whole.status[0] == 2  # ERROR
    assert whole.status[1].startswith("crashed: process ")
    assert whole.ended >= second.ended >= first.ended
    alive = [span for span in receiver.spans if span.trace_id == LATER_JOB[3:35]]
    assert [span.name for span in alive] == ["turn 2", "BUILD TASK-1"]
    assert len(dead) + len(alive) == len(receiver.spans)
    assert receiver.twice() == []
    assert files(tmp_path) == {"progress.json", "events.jsonl"}


async def test_a_feature_that_was_killed_is_one_trace_however_its_parts_are_built_again(
    receiver: Receiver, tmp_path: Path
) -> None:
    kill_a_builder(tmp_path, receiver, FEATURE_BUILDER)
    [phase] = receiver.spans
    async with track_build("TASK-1", root=tmp_path, sinks=[TraceSink()]):
        pass
    async with track_build("FEAT-1", build_type="feature", root=tmp_path, sinks=[TraceSink()]):
        pass
    receiver.spans = [span for span in receiver.spans if span.trace_id == phase.trace_id]
    assert receiver.tree() == {
        "BUILD FEAT-1": {"wave 1": {"TASK-1": {"turn 1": {"Player Implementation": {}}}}}
    }
    assert [span.result for span in receiver.spans] == ["success", *["error"] * 4]


async def test_a_journal_that_was_made_up_keeps_nothing_else_from_being_sent(
    receiver: Receiver, tmp_path: Path
) -> None:
    async with track_build("TASK-1", root=tmp_path) as build:
        await take_turn(build)
    path = tmp_path / ".guardkit/autobuild/TASK-1/events.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    run_id = lines[0]["run_id"]
    for line in lines:
        line["progress"]["task_name"] = "\x1b[31m\u202e" + "x" * 50_000
        line["progress"]["tracker"]["pid"] = line["seq"] = 10**30
    lines[1]["at"], lines[2]["at"] = "0001-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    path.with_name("traces.json").write_text(json.dumps({run_id: {"seq": 0}}))
    async with track_build("TASK-1", root=tmp_path, sinks=[TraceSink()]):
        pass
    theirs, ours = (span.attributes for span in receiver.spans if span.name == "BUILD TASK-1")
    if theirs["cicd.pipeline.run.id"] != run_id:
        theirs, ours = ours, theirs
    assert theirs["guardkit.task.name"].startswith("xxx")
    assert "guardkit.task.name" not in ours
    assert files(tmp_path) == {"progress.json", "events.jsonl"}


async def test_what_was_sent_without_being_noted_is_sent_as_the_same_span(
    receiver: Receiver, tmp_path: Path
) -> None:
    kill_a_builder(tmp_path, receiver)
    path = tmp_path / ".guardkit/autobuild/TASK-1/traces.json"
    notes = json.loads(path.read_text())
    path.write_text(json.dumps({run: note | {"seq": 0} for run, note in notes.items()}))
    async with track_build("TASK-1", root=tmp_path, sinks=[TraceSink()]):
        pass
    one, again = (span for span in receiver.spans if span.name == "Player Implementation")
    assert (one.span_id, one.began, one.ended) == (again.span_id, again.began, again.ended)


async def test_a_receiver_that_is_overloaded_gets_all_of_it_later(
    receiver: Receiver,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.5")  # seconds, less than to a second try
    receiver.refuses = True
    async with track_build("TASK-1", root=tmp_path, sinks=[TraceSink()]) as build:
        await take_turn(build)
    assert receiver.spans == []
    [warning] = [it.getMessage() for it in caplog.records if it.name == "guardkit.progress"]
    assert warning.startswith(f"TraceSink({receiver.url}): not all traces could be sent: ")
    receiver.refuses = False
    async with track_build("TASK-1", root=tmp_path, sinks=[TraceSink()]):
        pass
    assert sorted(receiver.names) == [
        "BUILD TASK-1",
        "BUILD TASK-1",
        "Coach Validation",
        "Player Implementation",
        "turn 1",
    ]
    assert receiver.twice() == []
    assert files(tmp_path) == {"progress.json", "events.jsonl"}


async def test_a_receiver_that_never_answers_holds_no_build_up(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv(
            "OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}"
        )
        clock, build = FakeClock(hung_after=0.05), None

        async def run() -> None:
            nonlocal build
            async with track_build(
                "TASK-1", root=tmp_path, sinks=[TraceSink(clock=clock)], clock=clock
            ) as build:
                await take_turn(build)

        running = asyncio.create_task(run())
        await clock.advance(2.0)
        assert running.done()
        await running
    assert build
    assert build.snapshot.status == "completed"
    assert "traces.json" in files(tmp_path)


async def test_a_build_that_was_refused_sends_nothing(receiver: Receiver, tmp_path: Path) -> None:
    async with track_build("TASK-1", root=tmp_path):
        with pytest.raises(RuntimeError, match="is being built"):
            async with track_build("TASK-1", root=tmp_path, sinks=[TraceSink()]):
                pass
    assert receiver.calls == 0


@pytest.mark.parametrize(
    "left",
    [
        b"",
        b"[]",
        b'{"not a run": {"seq": 1}}',
        b'{"0123456789abcdef": {"seq": -1}}',
        b'{"0123456789abcdef": {"seq": 1, "traceparent": "nonsense"}}',
        b"[" * 50_000,
    ],
    ids=["empty", "another shape", "no run", "no number", "an unknown run", "deep"],
)
async def test_notes_that_tell_nothing_cost_nothing(
    receiver: Receiver, tmp_path: Path, left: bytes
) -> None:
    folder = tmp_path / ".guardkit/autobuild/TASK-1"
    folder.mkdir(parents=True)
    (folder / "traces.json").write_bytes(left)
    async with track_build("TASK-1", root=tmp_path, sinks=[TraceSink()]):
        pass
    assert receiver.names == ["BUILD TASK-1"]
    assert files(tmp_path) == {"progress.json", "events.jsonl"}


@pytest.mark.usefixtures("receiver")
async def test_notes_that_are_a_link_are_not_followed(tmp_path: Path) -> None:
    folder, theirs = tmp_path / ".guardkit/autobuild/TASK-1", tmp_path / "theirs"
    folder.mkdir(parents=True)
    theirs.write_text("precious")
    (folder / "traces.json").symlink_to(theirs)
    async with track_build("TASK-1", root=tmp_path, sinks=[TraceSink()]):
        pass
    assert theirs.read_text() == "precious"


# ------------------------------------------------------------------------------------ commands


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    return make_demo(tmp_path / "demo")


def autobuild(
    root: Path, *words: str, player: str = "touch new", test: str = PASSING
) -> subprocess.CompletedProcess[str]:
    command = ("autobuild", "task", TASK_ID, "--player", player, "--test", test)
    return guardkit(*command, "--root", str(root), *words)


def test_a_command_is_traced_where_a_receiver_is_named_and_its_player_knows_where_it_is(
    receiver: Receiver, demo: Path, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    ended = autobuild(demo, player=f"env >> {told}; PAUSE=0 sh player.sh", test=TEST)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert receiver.tree() == {
        f"BUILD {TASK_ID}": {
            "Setup": {},
            "turn 1": {"Player Implementation": {}, "Coach Validation": {}},
            "turn 2": {"Player Implementation": {}, "Coach Validation": {}},
            "Finalize": {},
        }
    }
    env = dict(line.partition("=")[::2] for line in told.read_text().splitlines())
    last = [span for span in receiver.spans if span.name == "Player Implementation"][-1]
    assert env["TRACEPARENT"] == f"00-{last.trace_id}-{last.span_id}-01"
    assert env["CLAUDE_CODE_ENABLE_TELEMETRY"] == "1"
    assert env["OTEL_TRACES_EXPORTER"] == "otlp"
    assert receiver.span("turn 1").attributes["guardkit.decision"] == "feedback"


def test_a_build_in_the_background_is_traced_too(receiver: Receiver, demo: Path) -> None:
    run_id = autobuild(demo, "--detach").stdout.strip()
    guardkit("wait", TASK_ID, "--run", run_id, "--root", str(demo), "--timeout", "1m")
    receiver.wait(lambda: f"BUILD {TASK_ID}" in receiver.names)
    assert receiver.span(f"BUILD {TASK_ID}").attributes["cicd.pipeline.run.id"] == run_id


def test_a_protocol_that_there_is_not_is_told_of(
    receiver: Receiver, demo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    refused = autobuild(demo, "--traces")
    assert refused.returncode == 7
    assert "sends traces by http/protobuf alone" in complaint(refused)
    ended = autobuild(demo)
    assert ended.returncode == 0
    assert "no traces, though OTEL_EXPORTER_OTLP_ENDPOINT is set" in complaint(ended)
    assert receiver.calls == 0


def test_the_extra_s_absence_is_told_in_one_line(demo: Path) -> None:
    code = (
        "import sys; sys.modules['opentelemetry.sdk.resources'] = None\n"
        "from guardkit.cli.main import main; main()"
    )
    words = ["autobuild", "task", TASK_ID, "--player", "true", "--root", str(demo), "--traces"]
    ended = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (7, "")
    [line] = ended.stderr.splitlines()
    assert line == "guardkit: traces take an extra of guardkit: pip install 'guardkit[otel]'"
