"""Whatever is wrong with NATS, a build that publishes there goes on, and says so once."""

import json
import os
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

from ..nats_server import NatsServer
from ..nats_stream import differences, read_stream, until, until_whole

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]

USER = "authorization { users = [ { user: me, password: secret, permissions: { %s } } ] }"
SCRIPT = """
import asyncio, sys
from guardkit import track_build
from guardkit.nats import NatsSink

async def main(url, root):
    async with track_build("TASK-1", root=root, sinks=[NatsSink(url, root=root)]) as build:
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

    async with track_build("TASK-1", root=root, sinks=[NatsSink(url, root=root)]) as build:
        async with build.turn():
            await until(warned)
    events = [event.event for event in read_events("TASK-1", root=root)]
    assert events == ["build.started", "turn.started", "turn.ended", "build.ended"]
    assert "secret" not in caplog.text
    start = "publishing to NATS failed, the builds go on: "
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
    assert said == f"{url} accepts, but does not answer: it may hang"


async def test_a_login_that_is_refused(
    start_server: StartServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = start_server('authorization { user: "me", password: "other" }')
    [said] = await warnings_of_a_build(as_user(server), tmp_path, caplog)
    assert said.startswith(f"{server.url} refuses the login: ")


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
        ('publish: "$JS.API.>"', "gives no permission to publish to guardkit.builds.TASK-1.status"),
        ('subscribe: "foo"', "refuses: no permission to hear answers, set NATS_INBOX_PREFIX to"),
    ],
    ids=["to ask", "to publish", "to hear"],
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


async def test_a_permission_to_delete_that_is_missing_leaves_states_alone(
    start_server: StartServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = start_server(USER % 'publish: { deny: "$JS.API.STREAM.MSG.DELETE.>" }')
    url = as_user(server)
    sink = NatsSink(url, root=tmp_path)
    async with track_build("TASK-1", root=tmp_path, sinks=[sink], heartbeat=0.2):

        async def warned() -> bool:
            return bool(caplog.records)

        await until(warned)
    [said] = caplog.messages
    assert "gives no permission to publish to $JS.API.STREAM.MSG.DELETE" in said
    server.url = url
    events = [each.event for each in await read_stream(server) if each.event]
    assert events == ["build.started", "build.ended"]


async def test_a_permission_to_tell_the_neighbours_that_is_missing(
    start_server: StartServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = start_server(USER % 'publish: { deny: "pipeline.>" }')

    async def warned() -> bool:
        return bool(caplog.records)

    sink = NatsSink(as_user(server), root=tmp_path, envelope=True)
    async with track_build("TASK-1", root=tmp_path, sinks=[sink]):
        await until(warned)
    server.url = as_user(server)
    assert differences(await read_stream(server), tmp_path) == []
    assert "gives no permission to publish to pipeline.build-started.task-1" in caplog.messages[0]


async def test_a_stream_with_other_subjects(
    nats_server: NatsServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = await nats.connect(nats_server.url)
    await client.jetstream().add_stream(name="GUARDKIT_BUILDS", subjects=["orders.>"])
    await client.close()
    [said] = await warnings_of_a_build(nats_server.url, tmp_path, caplog)
    assert said.startswith(f"the stream GUARDKIT_BUILDS on {nats_server.url} is for orders.>")


async def test_a_stream_that_is_deleted_is_made_again(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    client = await nats.connect(nats_server.url)
    sink = NatsSink(nats_server.url, root=tmp_path)
    async with track_build("TASK-1", root=tmp_path, sinks=[sink]) as build:
        await until_whole(nats_server, tmp_path)
        await client.jetstream().delete_stream("GUARDKIT_BUILDS")
        async with build.turn():
            await until_whole(nats_server, tmp_path)
    await client.close()


async def test_a_server_that_answers_nonsense(
    start_server: StartServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = {"name": "GUARDKIT_BUILDS", "subjects": ["guardkit.builds.*.status"]}
    state = {"messages": 0, "bytes": 0, "first_seq": 0, "last_seq": 0, "consumer_count": 0}

    async def answer(message: Msg) -> None:
        info = {"config": config, "state": state} if ".INFO." in message.subject else {}
        await message.respond(json.dumps(info).encode())

    server = start_server(jetstream=False)
    client = await nats.connect(server.url)
    await client.subscribe("$JS.API.>", cb=answer)
    [said] = await warnings_of_a_build(server.url, tmp_path, caplog)
    assert said == "KeyError('message')"
    await client.close()


async def test_a_stream_that_takes_nothing(
    nats_server: NatsServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = await nats.connect(nats_server.url)
    await client.jetstream().add_stream(
        name="GUARDKIT_BUILDS",
        subjects=["guardkit.builds.*.status"],
        max_msgs=1,
        discard=DiscardPolicy.NEW,
    )
    await client.jetstream().publish("guardkit.builds.TASK-9.status", b"x")
    await client.close()
    [said] = await warnings_of_a_build(nats_server.url, tmp_path, caplog)
    assert said == f"{nats_server.url} cannot do that now: maximum messages exceeded"


@pytest.mark.parametrize("limit", ["server", "stream"])
async def test_a_message_that_is_too_large_is_left_out(
    limit: str,
    start_server: StartServer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = start_server("max_payload: 1300" if limit == "server" else "")
    if limit == "stream":
        client = await nats.connect(server.url)
        await client.jetstream().add_stream(
            name="GUARDKIT_BUILDS", subjects=["guardkit.builds.*.status"], max_msg_size=1300
        )
        await client.close()
    sink = NatsSink(server.url, root=tmp_path)
    async with track_build("TASK-1", root=tmp_path, sinks=[sink]) as build:
        for size in (600, 500):
            async with build.turn():
                build.update(message="x" * size)
        async with build.turn():
            build.update(message="")
    [said] = caplog.messages
    assert " takes no message of " in said
    messages = await read_stream(server)
    assert [each.seq for each in messages] == [1, 2, 7, 8]
    assert [each.event for each in messages][-1] == "build.ended"


async def test_what_was_refused_is_delivered_when_the_server_allows_it(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    client = await nats.connect(nats_server.url)
    js = client.jetstream()
    await js.add_stream(name="GUARDKIT_BUILDS", subjects=["orders.>"])
    sink = NatsSink(nats_server.url, root=tmp_path)
    async with track_build("TASK-1", root=tmp_path, sinks=[sink]) as build:
        async with build.turn():
            await js.delete_stream("GUARDKIT_BUILDS")
        await until_whole(nats_server, tmp_path)
    await client.close()
    assert differences(await read_stream(nats_server), tmp_path) == []


async def test_what_is_older_than_the_stream_keeps_is_not_delivered(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    async with track_build("TASK-1", root=tmp_path):
        pass
    folder = tmp_path / ".guardkit/autobuild/TASK-1"
    journal = folder / "events.jsonl"
    journal.write_text(journal.read_text().replace('"updated_at":"20', '"updated_at":"19'))
    for path in (*folder.iterdir(), folder):
        os.utime(path, (0, 0))
    async with track_build(
        "TASK-2", root=tmp_path, sinks=[NatsSink(nats_server.url, root=tmp_path)]
    ):
        pass
    async with track_build(
        "TASK-1", root=tmp_path, sinks=[NatsSink(nats_server.url, root=tmp_path)]
    ):
        pass
    messages = await read_stream(nats_server)
    assert [(each.task_id, each.event) for each in messages] == [
        ("TASK-2", "build.started"),
        ("TASK-2", "build.ended"),
        ("TASK-1", "build.started"),
        ("TASK-1", "build.ended"),
    ]


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
        assert "publishing to NATS failed, the builds go on: no server answers" in lines[0]


async def test_without_the_extra_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['nats'] = None; import guardkit.nats"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1].endswith(
        "NatsError: NATS takes an extra of guardkit: pip install 'guardkit[nats]'"
    )
