"""The commands over a real NATS server, held against what they say of files."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from guardkit.nats.connection import connected
from guardkit.nats.settings import find_settings
from guardkit.nats.stream import STREAM
from guardkit.orchestrator.demo import TASK_ID, make_demo

from ..nats_server import NatsServer, serving
from ..nats_stream import until_whole
from .test_cli import GUARDKIT, building, complaint, guardkit, lines_until, started


@contextmanager
def relaying(server: NatsServer, root: Path) -> Iterator[subprocess.Popen[str]]:
    """Have the builds below a root published by the command that does so."""
    command = (*GUARDKIT, "relay", "--nats", server.url, "--root", str(root))
    with started(*command, stderr=subprocess.DEVNULL) as process:
        assert process.stdout
        said = process.stdout.readline()
        assert said == f"Relaying the builds below {root} to {server.url}; Ctrl-C ends it.\n"
        yield process


def until_published(server: NatsServer, root: Path) -> None:
    asyncio.run(until_whole(server, root))


def without_seconds(text: str) -> str:
    return re.sub(r"\d+ ?s\b", "? s", text)


def test_all_that_looks_says_the_same_over_nats(nats_server: NatsServer, tmp_path: Path) -> None:
    here, there = ("--root", str(tmp_path)), ("--nats", nats_server.url)
    with relaying(nats_server, tmp_path), building(tmp_path, "TASK-1", "fail") as build:
        until_published(nats_server, tmp_path)
        with (
            started(*GUARDKIT, "watch", *here) as watching_here,
            started(*GUARDKIT, "watch", *there) as watching_there,
            started(*GUARDKIT, "wait", "TASK-1", *there) as waiting,
        ):
            told: list[list[str]] = []
            for process in (watching_here, watching_there):
                assert process.stdout
                told.append(lines_until(process.stdout, "starting..."))
            looks = [guardkit("status", *place) for place in (here, there)]
            assert looks[0].returncode == looks[1].returncode == 0
            assert without_seconds(looks[0].stdout) == without_seconds(looks[1].stdout)
            build.communicate("go\n")
            for number, process in enumerate((watching_here, watching_there)):
                assert process.stdout
                told[number] += process.stdout.read().splitlines()
                assert process.wait() == 1
            assert told[0] == told[1]
            assert waiting.wait() == 1
        until_published(nats_server, tmp_path)
    for command in ("status", "watch", "log", "wait"):
        looks = [guardkit(command, "TASK-1", *place) for place in (here, there)]
        assert looks[0].stdout == looks[1].stdout
        assert looks[0].returncode == looks[1].returncode


def test_watch_goes_on_when_the_server_is_back(nats_server: NatsServer, tmp_path: Path) -> None:
    with relaying(nats_server, tmp_path), building(tmp_path, "TASK-1") as build:
        until_published(nats_server, tmp_path)
        command = (*GUARDKIT, "watch", "--nats", nats_server.url)
        with started(*command, stderr=subprocess.PIPE) as watching:
            assert watching.stdout
            assert watching.stderr
            lines_until(watching.stdout, "Player Implementation starting")
            nats_server.kill()
            assert watching.stderr.readline().startswith("watching has to wait, and goes on by its")
            nats_server.start()
            assert watching.stderr.readline() == f"watching goes on, over {nats_server.url}\n"
            build.communicate("go\n")
            assert "Status: APPROVED\n" in watching.stdout.read()
            assert watching.wait() == 0
            assert watching.stderr.read() == ""


@pytest.mark.parametrize("command", ["status", "watch", "wait", "log"])
def test_what_nats_does_not_know_gives_one_line(nats_server: NatsServer, command: str) -> None:
    ended = guardkit(command, "--nats", nats_server.url, "TASK-1")
    assert (ended.returncode, ended.stdout) == (6, "")
    assert complaint(ended).startswith("guardkit: no build of TASK-1 is ")
    assert complaint(ended).endswith(f" on {nats_server.url}")


@pytest.mark.parametrize(("command", "what"), [("status", "known"), ("watch", "running")])
def test_where_no_build_is_the_exit_code_is_6(
    nats_server: NatsServer, command: str, what: str
) -> None:
    ended = guardkit(command, env=os.environ | {"NATS_URL": nats_server.url}, *["--nats"])  # noqa: B026
    assert ended.returncode == 6
    assert complaint(ended) == f"guardkit: no build is {what} on {nats_server.url}"


AUTOBUILD = ("autobuild", "task", "TASK-1", "--player", "x")


@pytest.mark.parametrize("words", [("status",), AUTOBUILD], ids=["status", "autobuild"])
@pytest.mark.parametrize(
    ("url", "code", "what"),
    [
        ("nats://me:hidden@127.0.0.1", 2, "a login does not belong on a command line: set NATS_"),
        ("nats://hidden@127.0.0.1", 2, "a login does not belong on a command line: set NATS_"),
        ("http://127.0.0.1", 7, "that is no URL of a NATS server: write nats://HOST:PORT"),
    ],
    ids=["a password", "a token", "another URL"],
)
def test_a_url_that_is_none_or_tells_too_much_is_refused(
    tmp_path: Path, words: tuple[str, ...], url: str, code: int, what: str
) -> None:
    ended = guardkit(*words, "--nats", url, cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (code, "")
    assert what in complaint(ended)
    assert "hidden" not in ended.stderr


def test_a_login_where_none_is_wanted_is_not_repeated(tmp_path: Path) -> None:
    ended = guardkit("relay", "nats://me:hidden@127.0.0.1", "x", "--root", str(tmp_path))
    assert ended.returncode == 2
    assert "too many arguments" in complaint(ended)
    assert "hidden" not in ended.stderr


def test_a_relay_of_no_folder_is_wrong_usage(tmp_path: Path) -> None:
    ended = guardkit("relay", "--root", str(tmp_path / "nothing"))
    assert ended.returncode == 2
    assert complaint(ended).endswith("/nothing is no folder: give that of the project with --root")


@pytest.mark.parametrize("words", [["--nats"], ["--nats", ""]], ids=["no URL", "an empty one"])
def test_without_a_url_the_usual_server_is_meant(nats_server: NatsServer, words: list[str]) -> None:
    ended = guardkit("status", *words, env=os.environ | {"NATS_URL": nats_server.url})
    assert complaint(ended) == f"guardkit: no build is known on {nats_server.url}"


@pytest.mark.parametrize("words", [("watch",), ("nats", "init")], ids=["watch", "init"])
def test_a_server_that_is_not_there_gives_one_line(
    nats_server: NatsServer, words: tuple[str, ...]
) -> None:
    nats_server.kill()
    ended = guardkit(*words, "--nats", nats_server.url)
    assert (ended.returncode, ended.stdout) == (7, "")
    assert complaint(ended).startswith(f"guardkit: no server answers at {nats_server.url}: ")


def test_a_server_that_takes_too_few_bytes_gives_one_line(tmp_path: Path) -> None:
    with serving(tmp_path / "server", "max_payload: 100") as server:
        for words in (("nats", "init"), ("status",), ("watch", "TASK-1"), ("log", "TASK-1")):
            ended = guardkit(*words, "--nats", server.url)
            assert (ended.returncode, ended.stdout) == (7, "")
            assert complaint(ended).endswith("set its max_payload to 64KB at least")


@pytest.mark.parametrize(
    "words", [("status",), AUTOBUILD, ("relay",)], ids=["status", "autobuild", "relay"]
)
def test_without_the_extra_one_is_told_what_to_install(words: tuple[str, ...]) -> None:
    code = "import sys; sys.modules['nats'] = None\nfrom guardkit.cli.main import main; main()"
    command = (sys.executable, "-c", code, *words, "--nats")
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (7, "")
    assert complaint(ended).endswith("pip install 'guardkit[nats]'")


async def lift_limits(server: NatsServer) -> None:
    async with connected(find_settings(server.url)) as client:
        config = (await client.js.stream_info(STREAM)).config
        await client.js.update_stream(config.evolve(max_age=0.0, max_bytes=-1))


def test_the_stream_is_made_and_its_limits_are_changed(nats_server: NatsServer) -> None:
    init = ("nats", "init", "--nats", nats_server.url)
    assert guardkit(*init).stdout == (
        f"GUARDKIT_BUILDS on {nats_server.url} was made.\n"
        "  subjects   guardkit.builds.*.status\n"
        "  max-age    7d\n"
        "  max-bytes  1GiB\n"
        "  replicas   1\n"
    )
    changed = guardkit(*init, "--max-age", "36h").stdout.splitlines()
    assert changed[0] == f"GUARDKIT_BUILDS on {nats_server.url} was changed."
    assert changed[2:4] == ["  max-age    36h (was 7d)", "  max-bytes  1GiB"]
    assert guardkit(*init, "--max-bytes", "500MiB").returncode == 0
    same = guardkit(*init).stdout.splitlines()
    assert same[0] == f"GUARDKIT_BUILDS on {nats_server.url} is as it was."
    assert same[2:4] == ["  max-age    36h", "  max-bytes  500MiB"]
    asyncio.run(lift_limits(nats_server))
    assert guardkit(*init).stdout.splitlines()[2:4] == [
        "  max-age    unlimited",
        "  max-bytes  unlimited",
    ]
    refused = guardkit(*init, "--replicas", "3")
    assert refused.returncode == 7
    assert "refuses: " in complaint(refused)


@pytest.mark.parametrize(
    "words", [["--max-age", "soon"], ["--max-age", "0d"], ["--max-bytes", "1GB"]]
)
def test_what_is_no_limit_is_wrong_usage(words: list[str]) -> None:
    ended = guardkit("nats", "init", *words)
    assert ended.returncode == 2
    assert f"{words[0]}: a number of " in complaint(ended)


def test_a_relay_ends_by_ctrl_c(nats_server: NatsServer, tmp_path: Path) -> None:
    with relaying(nats_server, tmp_path) as relay, building(tmp_path, "TASK-1"):
        until_published(nats_server, tmp_path)
        relay.send_signal(signal.SIGINT)
        assert relay.wait() == 130


CROWD = """
import asyncio, sys
from guardkit import track_build

async def build(number, root, entered):
    async with track_build(f"TASK-{number}", root=root) as build:
        async with build.phase("Setup"):
            entered.release()
            await asyncio.Event().wait()

async def main(root, number):
    entered = asyncio.Semaphore(0)
    tasks = [asyncio.create_task(build(n, root, entered)) for n in range(int(number))]
    for _ in tasks:
        await entered.acquire()
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("number", "place"), [(50, "starting"), (1000, "Setup")], ids=["a few", "many"]
)
def test_one_that_comes_late_is_shown_all_builds(
    nats_server: NatsServer, tmp_path: Path, number: int, place: str, pytestconfig: pytest.Config
) -> None:
    """A hundred are told from their beginning; of more it is told where they are."""
    if not pytestconfig.getoption("long"):
        number = min(number, 120)
    crowd = (sys.executable, "-c", CROWD, str(tmp_path), str(number))
    with relaying(nats_server, tmp_path), started(*crowd) as builds:
        assert builds.stdout
        assert builds.stdout.readline() == "ready\n"
        until_published(nats_server, tmp_path)
        with started(*GUARDKIT, "watch", "--nats", nats_server.url) as watching:
            assert watching.stdout
            shown: set[str] = set()
            while len(shown) < number:
                line = watching.stdout.readline()
                shown |= {*re.findall(rf"Wave 1/1, (TASK-\d+) \({place}\)", line)}
            watching.send_signal(signal.SIGINT)
            assert watching.wait() == 130


def test_autobuild_publishes_its_build(nats_server: NatsServer, tmp_path: Path) -> None:
    root = make_demo(tmp_path)
    words = ("--player", "true", "--test", "true", "--max-turns", "1", "--root", str(root))
    ended = guardkit("autobuild", "task", TASK_ID, *words, "--nats", nats_server.url)
    assert (ended.returncode, ended.stderr) == (1, "")
    until_published(nats_server, root)
    logs = [guardkit("log", TASK_ID, "--nats", nats_server.url)]
    logs += [guardkit("log", TASK_ID, "--root", str(root))]
    assert logs[0].stdout == logs[1].stdout != ""


def test_an_envelope_needs_a_server_to_send_it_to(tmp_path: Path) -> None:
    ended = guardkit(*AUTOBUILD, "--nats-envelope", "--root", str(tmp_path))
    assert ended.returncode == 2
    assert "add --nats" in complaint(ended)
