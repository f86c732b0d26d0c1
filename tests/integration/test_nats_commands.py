"""The commands over a real NATS server, held against what they say of files."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from guardkit import read_events
from guardkit.clock import SYSTEM_CLOCK
from guardkit.nats import NatsBuilds
from guardkit.nats.line import connected
from guardkit.nats.settings import find_settings
from guardkit.nats.streams import Limits, ensure_streams
from guardkit.orchestrator.demo import TASK_ID, make_demo
from guardkit.progress.snapshot import Event

from ..looks import document
from ..nats_server import NatsServer, serving
from ..nats_stream import until, until_none
from .test_cli import GUARDKIT, building, complaint, guardkit, lines_until, started
from .test_nats_builds import later, peering, put_many

StartServer = Callable[..., NatsServer]


@contextmanager
def relaying(server: NatsServer, root: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Have the builds below a root published by the command that does so."""
    command = (*GUARDKIT, "relay", "--nats", server.url, "--root", str(root), *words)
    with started(*command) as process:
        assert process.stdout
        said = process.stdout.readline()
        assert said == f"Relaying the builds below {root} to {server.url}; Ctrl-C ends it.\n"
        yield process
        assert process.poll() in {None, 130}, "the relay has died"


def until_published(server: NatsServer, root: Path, project: str = "") -> None:
    """Return when a server has all events of the journals below a root, and documents past them."""
    builds = NatsBuilds(server.url, project=project)
    journals = {
        path.name: read_events(path.name, root=root) for path in root.glob(".guardkit/autobuild/*/")
    }

    async def missing() -> list[str]:
        found = {look.task_id: look.snapshot for look in await builds.look([*journals])}
        shown = {name: each.tracker.seq for name, each in found.items() if each}
        wrong = [
            f"{name}: {found.get(name)}"
            for name, events in journals.items()
            if shown.get(name, 0) < events[-1].seq
        ]
        for name, events in journals.items():
            if (there := await builds.events(name)) != events:
                wrong.append(f"{name}: {outline(there)}, not {outline(events)}")
        return wrong

    asyncio.run(until_none(missing))


def outline(events: list[Event]) -> list[tuple[str, int]]:
    return [(event.run_id, event.seq) for event in events]


def without_next(told: str) -> str:
    """Return what is told without the next command, which says where the builds are."""
    return re.sub(r"\nNext: .*", "", told)


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
                assert process.wait() == 1, told
            assert without_next("\n".join(told[0])) == without_next("\n".join(told[1]))
            assert waiting.wait() == 1
        until_published(nats_server, tmp_path)
    for command in ("status", "watch", "log", "wait"):
        looks = [guardkit(command, "TASK-1", *place) for place in (here, there)]
        assert without_next(looks[0].stdout) == without_next(looks[1].stdout)
        assert looks[0].returncode == looks[1].returncode


def test_watch_that_follows_shows_builds_that_begin_after_it_and_goes_on(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    with (
        relaying(nats_server, tmp_path),
        started(*GUARDKIT, "watch", "--follow", "--nats", nats_server.url) as watching,
    ):
        assert watching.stdout
        for task_id in ("TASK-1", "TASK-2"):
            with building(tmp_path, task_id) as build:
                lines_until(watching.stdout, f"{task_id} (starting)")
                lines_until(watching.stdout, "Player Implementation starting")
                build.communicate("go\n")
            lines_until(watching.stdout, "Status: APPROVED")
        assert watching.poll() is None
        watching.send_signal(signal.SIGINT)
        assert watching.wait() == 130


def test_a_build_that_begins_during_a_watch_is_shown_and_waited_for(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    with relaying(nats_server, tmp_path), building(tmp_path, "TASK-1") as first:
        until_published(nats_server, tmp_path)
        with started(*GUARDKIT, "watch", "--nats", nats_server.url) as watching:
            assert watching.stdout
            lines_until(watching.stdout, "Player Implementation starting")
            with building(tmp_path, "TASK-2", "fail") as second:
                lines_until(watching.stdout, "TASK-2 Player Implementation starting")
                first.communicate("go\n")
                lines_until(watching.stdout, "Status: APPROVED")
                second.communicate("go\n")
            assert watching.wait() == 1


def test_status_in_json_is_as_that_of_files(nats_server: NatsServer, tmp_path: Path) -> None:
    with relaying(nats_server, tmp_path):
        with building(tmp_path, "TASK-1") as build:
            build.communicate("go\n")
        until_published(nats_server, tmp_path)
    places = (("--root", str(tmp_path)), ("--nats", nats_server.url))
    here, there = (guardkit("status", "--json", *place) for place in places)
    assert json.loads(here.stdout) == json.loads(there.stdout)


def test_wait_until_a_change_tells_of_it_at_once(nats_server: NatsServer, tmp_path: Path) -> None:
    words = ("wait", "TASK-1", "--until", "change", "--nats", nats_server.url)
    with relaying(nats_server, tmp_path), building(tmp_path, "TASK-1") as build:
        until_published(nats_server, tmp_path)
        ended = guardkit(*words, "--timeout", "0.5")
        assert ended.returncode == 124
        assert ended.stdout.startswith(
            "timed out after 0.5 s: running: Wave 1/3, TASK-1 (Turn 1/5, Player"
        )
        with started(*GUARDKIT, *words, stderr=subprocess.PIPE) as waiting:
            until_watched(nats_server)
            build.communicate("go\n")
            assert waiting.wait() in {0, 8}
            assert waiting.stderr
            assert waiting.stderr.read() == ""


def until_watched(server: NatsServer) -> None:
    async def is_watched() -> bool:
        async with peering(server) as peer:
            return await peer.consumers() == 2

    asyncio.run(until(is_watched))


def test_wait_for_the_next_run_waits_for_it_to_begin(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    words = ("wait", "TASK-1", "--next", "--nats", nats_server.url)
    with (
        relaying(nats_server, tmp_path),
        started(*GUARDKIT, *words, stderr=subprocess.PIPE) as waiting,
    ):
        until_watched(nats_server)
        with building(tmp_path, "TASK-1", "cancel") as build:
            build.communicate("go\n")
        assert waiting.wait() == 3


def test_wait_for_a_run_that_another_has_followed_tells_of_it(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    with relaying(nats_server, tmp_path):
        for ending in ("fail", ""):
            with building(tmp_path, "TASK-1", ending) as build:
                build.communicate("go\n")
        until_published(nats_server, tmp_path)
    first, *_, last = (event.run_id for event in read_events("TASK-1", root=tmp_path))
    words = ("wait", "TASK-1", "--nats", nats_server.url, "--run")
    assert [guardkit(*words, run).returncode for run in (first, last)] == [1, 0]


def test_a_log_that_follows_prints_what_happens(nats_server: NatsServer, tmp_path: Path) -> None:
    with relaying(nats_server, tmp_path), building(tmp_path, "TASK-1") as build:
        until_published(nats_server, tmp_path)
        words = ("log", "TASK-1", "--follow", "--nats", nats_server.url)
        with started(*GUARDKIT, *words) as following:
            assert following.stdout
            told = lines_until(following.stdout, "phase.started")
            until_watched(nats_server)
            build.communicate("go\n")
            told += lines_until(following.stdout, "build.ended")
            following.send_signal(signal.SIGINT)
            assert following.wait() == 130
    assert told == guardkit("log", "TASK-1", "--root", str(tmp_path)).stdout.splitlines()


def test_a_project_has_builds_of_its_own(nats_server: NatsServer, tmp_path: Path) -> None:
    nats = ("--nats", nats_server.url)
    with relaying(nats_server, tmp_path, "--project", "shop"):
        with building(tmp_path, "TASK-1") as build:
            build.communicate("go\n")
        until_published(nats_server, tmp_path, "shop")
    for words in (("status",), ("watch", "TASK-1"), ("wait", "TASK-1"), ("log", "TASK-1")):
        ended = guardkit(*words, *nats, "--project", "shop")
        assert (ended.returncode, ended.stderr) == (0, "")
        ended = guardkit(*words, *nats)
        assert (ended.returncode, ended.stdout) == (6, "")
        assert complaint(ended).endswith(f" known on {nats_server.url}")


def test_the_project_comes_from_the_environment(nats_server: NatsServer, tmp_path: Path) -> None:
    shop = os.environ | {"GUARDKIT_PROJECT": "shop"}
    command = (*GUARDKIT, "relay", "--nats", nats_server.url, "--root", str(tmp_path))
    with started(*command, env=shop), building(tmp_path, "TASK-1") as build:
        build.communicate("go\n")
        until_published(nats_server, tmp_path, "shop")
    nats = ("--nats", nats_server.url)
    assert guardkit("status", *nats, env=shop).returncode == 0
    ended = guardkit("status", *nats, "--project", "app", env=shop)
    why = f"no build is known on {nats_server.url} in the project app"
    assert (ended.returncode, complaint(ended)) == (6, f"guardkit: {why}")


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ("status --project shop", "--project tells builds on a server apart: add --nats"),
        ("autobuild task T --player x --project shop", "--project says how to publish: add --nats"),
        ("status --nats --project a:b", "--project: the name of a project has letters, digits, "),
    ],
)
def test_a_project_that_cannot_be_meant_is_wrong_usage(
    tmp_path: Path, words: str, what: str
) -> None:
    ended = guardkit(*words.split(), "--root", str(tmp_path))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert what in complaint(ended)


async def put_tasks(server: NatsServer, number: int) -> None:
    async with peering(server) as peer:
        await put_many(peer, number)


def test_of_more_than_ten_thousand_builds_status_asks_for_ids(nats_server: NatsServer) -> None:
    asyncio.run(put_tasks(nats_server, 10_001))
    for words in (("status",), ("watch", "--follow")):
        ended = guardkit(*words, "--nats", nats_server.url)
        assert (ended.returncode, ended.stdout) == (7, "")
        assert complaint(ended) == (
            f"guardkit: 10001 builds are on {nats_server.url}: give the ids of those that are "
            "meant, or a project"
        )
    assert guardkit("status", "TASK-7", "TASK-8", "--nats", nats_server.url).returncode == 0


def test_a_builder_that_is_gone_for_days_is_lost_by_the_exit_code(
    nats_server: NatsServer,
) -> None:
    async def look() -> subprocess.CompletedProcess[str]:
        async with peering(nats_server) as peer, later(nats_server, 172_800.0) as url:
            await peer.put(document())
            return await asyncio.to_thread(guardkit, "status", "--nats", url)

    ended = asyncio.run(look())
    assert ended.returncode == 4
    assert re.search(r"\nlost: no heartbeat for 1728\d\d s by the wall clock ", ended.stdout)


def test_watch_goes_on_when_the_server_is_back(nats_server: NatsServer, tmp_path: Path) -> None:
    with relaying(nats_server, tmp_path), building(tmp_path, "TASK-1") as build:
        until_published(nats_server, tmp_path)
        command = (*GUARDKIT, "watch", "--nats", nats_server.url)
        with started(*command, stderr=subprocess.PIPE) as watching:
            assert watching.stdout
            assert watching.stderr
            lines_until(watching.stdout, "Player Implementation starting")
            nats_server.kill()
            assert watching.stderr.readline().startswith("watching waits, and continues by its")
            nats_server.start()
            assert watching.stderr.readline() == f"watching again, over {nats_server.url}\n"
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


@pytest.mark.parametrize(
    "words",
    ["status", "watch", "watch --follow", "wait TASK-1", "log TASK-1", "nats init"],
)
def test_where_no_server_is_one_line_says_so_and_the_exit_code_is_7(
    nats_server: NatsServer, words: str
) -> None:
    nats_server.kill()
    ended = guardkit(*words.split(), "--nats", nats_server.url)
    assert (ended.returncode, ended.stdout) == (7, "")
    assert complaint(ended).startswith(f"guardkit: no server answers at {nats_server.url}: ")


def test_a_login_that_is_refused_gives_one_line_without_it(tmp_path: Path) -> None:
    login = os.environ | {"NATS_TOKEN": "hidden"}
    with serving(tmp_path / "server", 'authorization { token: "secret" }') as server:
        ended = guardkit("status", "--nats", server.url, env=login)
    assert (ended.returncode, ended.stdout) == (7, "")
    assert "refuses the token, set by NATS_TOKEN" in complaint(ended)
    assert "hidden" not in ended.stderr


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


def init_words(server: NatsServer) -> tuple[str, ...]:
    return ("nats", "init", "--nats", server.url)


def test_init_makes_both_streams_and_prints_them(nats_server: NatsServer) -> None:
    ended = guardkit(*init_words(nats_server))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == (
        f"GUARDKIT_BUILDS on {nats_server.url} was made.\n"
        "  subjects   guardkit.builds.*.status\n"
        "  max-age    7d\n"
        "  max-bytes  128MiB\n"
        "  replicas   1\n"
        f"GUARDKIT_EVENTS on {nats_server.url} was made.\n"
        "  subjects   guardkit.builds.*.events.*\n"
        "  max-age    7d\n"
        "  max-bytes  896MiB\n"
        "  replicas   1\n"
    )


def test_init_changes_what_is_given_of_both_streams_and_says_what_that_was(
    nats_server: NatsServer,
) -> None:
    init = init_words(nats_server)
    assert guardkit(*init).returncode == 0
    changed = guardkit(*init, "--max-age", "100m").stdout.splitlines()
    for first, name, room in ((0, "BUILDS", "128MiB"), (5, "EVENTS", "896MiB")):
        assert changed[first] == f"GUARDKIT_{name} on {nats_server.url} was changed."
        age, size = changed[first + 2 : first + 4]
        assert (age, size) == ("  max-age    100m (was 7d)", f"  max-bytes  {room}")
    changed = guardkit(*init, "--max-bytes", "800MiB").stdout.splitlines()
    assert [line for line in changed if "max" in line] == [
        "  max-age    100m",
        "  max-bytes  100MiB (was 128MiB)",
        "  max-age    100m",
        "  max-bytes  700MiB (was 896MiB)",
    ]


def test_init_leaves_as_it_is_what_is_not_given(nats_server: NatsServer) -> None:
    unlimited = Limits(max_age=0.0, max_bytes=-1)
    asyncio.run(make_streams(nats_server, unlimited))
    said = guardkit(*init_words(nats_server)).stdout.splitlines()
    for first, name in ((0, "BUILDS"), (5, "EVENTS")):
        assert said[first] == f"GUARDKIT_{name} on {nats_server.url} is as it was."
        age, size = said[first + 2 : first + 4]
        assert (age, size) == ("  max-age    unlimited", "  max-bytes  unlimited")


async def make_streams(server: NatsServer, limits: Limits) -> None:
    async with connected(find_settings(server.url), SYSTEM_CLOCK) as client:
        await ensure_streams(client, limits)


def test_what_the_server_refuses_of_init_gives_one_line(nats_server: NatsServer) -> None:
    refused = guardkit(*init_words(nats_server), "--replicas", "3")
    assert (refused.returncode, refused.stdout) == (7, "")
    assert "refuses: replicas > 1 not supported" in complaint(refused)


LITTLE_ROOM = (
    "accounts { A { jetstream { max_mem: 10M, max_file: 100M }",
    "users: [ { user: me, password: secret } ] } }",
)


def test_an_account_with_little_room_gives_one_line_with_what_mends_it(tmp_path: Path) -> None:
    login = os.environ | {"NATS_USER": "me", "NATS_PASSWORD": "secret"}
    with serving(tmp_path / "server", *LITTLE_ROOM) as server:
        ended = guardkit("status", "--nats", server.url, env=login)
        assert (ended.returncode, ended.stdout) == (7, "")
        assert "guardkit nats init --max-bytes 100MiB, or the account more" in complaint(ended)
        words = (*init_words(server), "--max-bytes", "80MiB")
        assert guardkit(*words, env=login).returncode == 0
        ended = guardkit("status", "--nats", server.url, env=login)
        assert complaint(ended) == f"guardkit: no build is known on {server.url}"


def test_a_relay_to_an_account_with_little_room_warns_with_what_mends_it(tmp_path: Path) -> None:
    login = os.environ | {"NATS_USER": "me", "NATS_PASSWORD": "secret"}
    with serving(tmp_path / "server", *LITTLE_ROOM) as server:
        command = (*GUARDKIT, "relay", "--nats", server.url, "--root", str(tmp_path))
        with started(*command, stderr=subprocess.PIPE, env=login) as relay:
            assert relay.stderr
            said = relay.stderr.readline()
    assert said.startswith("publishing to NATS failed: ")
    assert "guardkit nats init --max-bytes 100MiB" in said


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
    words = ("--player", "true", "--test", "true {junit}", "--max-turns", "1", "--root", str(root))
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
