"""Whatever is wrong with NATS, a build that publishes there goes on, and says so once."""

import json
import logging
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nats
import pytest
from nats.aio.msg import Msg
from nats.js.api import DiscardPolicy

from guardkit import read_events, track_build
from guardkit.nats import NatsSink

from ..nats_builds import run_build
from ..nats_server import NatsServer
from ..nats_stream import (
    DOCUMENTS,
    EVENTS,
    OF_RUNS,
    STATUS,
    differences,
    read_streams,
    until,
    until_whole,
)

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]

USER = "authorization { users = [ { user: me, password: secret, permissions: { %s } } ] }"
SUBJECTS = {DOCUMENTS: STATUS, EVENTS: OF_RUNS}
BOTH = pytest.mark.parametrize("stream", [DOCUMENTS, EVENTS])
SCRIPT = """
import asyncio, sys
from guardkit import track_build
from guardkit.nats import NatsSink

async def main(url, root):
    async with track_build("TASK-1", root=root, sinks=[NatsSink(url)]) as build:
        async with build.turn():
            print("running", flush=True)
            await asyncio.to_thread(sys.stdin.readline)

asyncio.run(main(*sys.argv[1:]))
"""


StartServer = Callable[..., NatsServer]


async def warnings_of_a_build(url: str, root: Path, caplog: pytest.LogCaptureFixture) -> list[str]:
    """Build something that takes until there is a warning; return all warnings."""

    async def warned() -> bool:
        return bool(caplog.records)

    async with track_build("TASK-1", root=root, sinks=[NatsSink(url)]) as build:
        async with build.turn():
            await until(warned)
    events = [event.event for event in read_events("TASK-1", root=root)]
    assert events == ["build.started", "turn.started", "turn.ended", "build.ended"]
    assert "secret" not in caplog.text
    start = "publishing to NATS failed: "
    assert all(message.startswith(start) for message in caplog.messages)
    return [message.removeprefix(start) for message in caplog.messages]


def as_user(server: NatsServer) -> str:
    return server.url.replace("//", "//me:secret@")


async def test_a_name_that_is_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    [said] = await warnings_of_a_build("nats://nowhere.invalid", tmp_path, caplog)
    assert said.startswith("no server answers at nats://nowhere.invalid:4222: ")


async def test_a_server_that_accepts_and_never_answers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"nats://127.0.0.1:{server.getsockname()[1]}"
        [said] = await warnings_of_a_build(url, tmp_path, caplog)
    assert said == f"{url} accepts, but does not answer: it may hang; the builds continue"


async def test_a_login_that_is_refused(
    start_server: StartServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = start_server('authorization { user: "me", password: "other" }')
    [said] = await warnings_of_a_build(as_user(server), tmp_path, caplog)
    assert said.startswith(f"{server.url} refuses the user and the password, set by NATS_USER ")


async def test_a_server_without_jetstream(
    start_server: StartServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = start_server(jetstream=False)
    [said] = await warnings_of_a_build(server.url, tmp_path, caplog)
    assert said.startswith(f"{server.url} has no JetStream for this login: start it with")


@pytest.mark.parametrize(
    ("allowed", "refused"),
    [
        ('publish: "foo"', "gives no permission to publish to $JS.API.STREAM.INFO."),
        ('publish: "$JS.API.>"', "gives no permission to publish to guardkit.builds.TASK-1.events"),
        (
            'publish: ["$JS.API.>", "guardkit.builds.*.events.*"]',
            "gives no permission to publish to guardkit.builds.TASK-1.status",
        ),
        ('subscribe: "foo"', "refuses: no permission to hear answers, set NATS_INBOX_PREFIX to"),
    ],
    ids=["to ask", "to publish", "to publish documents", "to hear"],
)
async def test_a_permission_that_is_missing(
    allowed: str,
    refused: str,
    start_server: StartServer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = start_server(USER % allowed)
    [said] = await warnings_of_a_build(as_user(server), tmp_path, caplog)
    assert said.startswith(f"{server.url} {refused}")


@BOTH
async def test_a_stream_with_other_subjects(
    stream: str, nats_server: NatsServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = await nats.connect(nats_server.url)
    await client.jetstream().add_stream(name=stream, subjects=["orders.>"])
    await client.close()
    [said] = await warnings_of_a_build(nats_server.url, tmp_path, caplog)
    assert said.startswith(f"the stream {stream} on {nats_server.url} is for orders.>")


async def test_a_stream_of_documents_that_keeps_old_ones(
    nats_server: NatsServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = await nats.connect(nats_server.url)
    await client.jetstream().add_stream(name=DOCUMENTS, subjects=[STATUS])
    await client.close()
    [said] = await warnings_of_a_build(nats_server.url, tmp_path, caplog)
    assert said.startswith(f"the stream {DOCUMENTS} on {nats_server.url} keeps old documents: ")


async def test_a_server_that_answers_nonsense(
    start_server: StartServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def answer(message: Msg) -> None:
        stream = message.subject.split(".")[-1]
        config = {"subjects": [SUBJECTS.get(stream)], "max_msgs_per_subject": 1}
        info = {"config": config, "state": {}, "created": "2025-01-31T12:34:56Z"}
        await message.respond(json.dumps(info if ".INFO." in message.subject else {}).encode())

    server = start_server(jetstream=False)
    client = await nats.connect(server.url)
    await client.subscribe("$JS.API.>", cb=answer)
    [said] = await warnings_of_a_build(server.url, tmp_path, caplog)
    assert said.startswith(f"{server.url} answers what no NATS server does: ")
    await client.close()


@BOTH
async def test_a_stream_that_takes_nothing(
    stream: str, nats_server: NatsServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = await nats.connect(nats_server.url)
    await client.jetstream().add_stream(
        name=stream,
        subjects=[SUBJECTS[stream]],
        max_msgs=1,
        max_msgs_per_subject=1,
        discard=DiscardPolicy.NEW,
    )
    await client.jetstream().publish(SUBJECTS[stream].replace("*", "other"), b"x")
    await client.close()
    [said] = await warnings_of_a_build(nats_server.url, tmp_path, caplog)
    assert said.startswith(f"{nats_server.url} refuses: maximum messages exceeded")


@pytest.mark.parametrize("limit", ["server", "stream"])
async def test_a_document_that_is_larger_than_what_is_taken(
    limit: str, start_server: StartServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = start_server("max_payload: 800" if limit == "server" else "")
    if limit == "stream":
        client = await nats.connect(server.url)
        await client.jetstream().add_stream(
            name=DOCUMENTS, subjects=[STATUS], max_msg_size=600, max_msgs_per_subject=1
        )
        await client.close()
    [said] = await warnings_of_a_build(server.url, tmp_path, caplog)
    assert " takes no more than 800 bytes" in said or "message size exceeds maximum" in said


@BOTH
async def test_what_was_refused_is_delivered_when_the_server_allows_it(
    stream: str, nats_server: NatsServer, tmp_path: Path
) -> None:
    client = await nats.connect(nats_server.url)
    js = client.jetstream()
    await js.add_stream(name=stream, subjects=["orders.>"])
    sink = NatsSink(nats_server.url)
    async with track_build("TASK-1", root=tmp_path, sinks=[sink]) as build:
        async with build.turn():
            await js.delete_stream(stream)
        await until_whole(nats_server, tmp_path)
    await client.close()
    assert differences(await read_streams(nats_server), tmp_path) == []


async def test_a_log_that_fails_disturbs_nothing(
    nats_server: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(logging.Handler):
        def handle(self, _: logging.LogRecord) -> bool:
            raise OSError

    log, handler = logging.getLogger("guardkit.progress"), Broken()
    log.addHandler(handler)
    nats_server.kill()
    try:
        await run_build(tmp_path, NatsSink(nats_server.url))
    finally:
        log.removeHandler(handler)
    assert read_events("TASK-1", root=tmp_path)[-1].progress.status == "completed"


@pytest.mark.parametrize("ending", ["line", "SIGINT"])
@pytest.mark.parametrize("server", ["answers", "hangs", "is absent"])
async def test_a_process_ends_without_a_word_more(
    server: str, ending: str, nats_server: NatsServer, tmp_path: Path
) -> None:
    if server == "is absent":
        nats_server.kill()
    command = (sys.executable, "-c", SCRIPT, nats_server.url, str(tmp_path))
    pipe = subprocess.PIPE
    with subprocess.Popen(command, text=True, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdout
        assert process.stdout.readline() == "running\n"
        if server == "hangs":
            nats_server.hang()
        if ending == "SIGINT":
            process.send_signal(signal.SIGINT)
        _, said = process.communicate("go on\n", timeout=30)
    lines = said.splitlines()
    if ending == "line":
        assert process.returncode == 0
        assert len(lines) <= 1
    else:
        assert lines[-1] == "KeyboardInterrupt"
        assert "never retrieved" not in said
        assert "destroyed" not in said
    if server == "is absent":
        assert "publishing to NATS failed: no server answers" in lines[0]


async def test_without_the_extra_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['nats'] = None; import guardkit.nats"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1].endswith(
        "NatsError: NATS takes an extra of guardkit: pip install 'guardkit[nats]'"
    )
