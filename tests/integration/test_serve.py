"""`guardkit serve` as a process of its own: what it serves, what it says, and how it ends."""

import re
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from guardkit.places.web.guard import TRIES

from ..serving import EVERYWHERE, serving
from .test_cli import building, built, complaint, guardkit


def test_the_page_shows_builds_as_they_go_on(tmp_path: Path) -> None:
    built(tmp_path, "TASK-1")
    with serving(str(tmp_path)) as page, page.streaming() as stream:
        code, html = page.ask()
        assert (code, "TASK-1" in html) == (200, True)
        stream.until("TASK-1")
        with building(tmp_path, "TASK-2") as build:
            stream.until("Turn 1/5, Player Implementation")
            build.communicate("go\n")
            stream.until('"state completed" id="' + f"{tmp_path.name}:TASK-2")


def test_a_builder_that_is_killed_is_told_of(tmp_path: Path) -> None:
    with serving(str(tmp_path)) as page, page.streaming() as stream:
        with building(tmp_path, "TASK-1") as build:
            stream.until("1 running")
            build.kill()
            stream.until("no longer holds the lock of TASK-1")


def test_several_projects_are_on_one_page(tmp_path: Path) -> None:
    for name in ("shop", "site"):
        (tmp_path / name).mkdir()
        built(tmp_path / name, f"TASK-{name}")
    with serving(str(tmp_path / "shop"), str(tmp_path / "site"), str(tmp_path / "shop")) as page:
        _, html = page.ask()
        assert re.findall(r"<h2 id=\"(\w+):", html) == ["shop", "site"]
        assert re.findall(r"<article class=\"build\" id=\"(\w+:TASK-\w+)\"", html) == [
            "shop:TASK-shop",
            "site:TASK-site",
        ]
        assert page.ask("/builds/site/TASK-site")[0] == 200
        assert page.ask("/builds/shop/TASK-site")[0] == 404


def test_the_project_is_the_nearest_one_upwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built(tmp_path, "TASK-1")
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "deep")
    with serving() as page:
        assert "TASK-1" in page.ask()[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_while_somebody_looks_on(tmp_path: Path, number: signal.Signals) -> None:
    with serving(str(tmp_path)) as page, page.streaming() as stream:
        stream.until("builds")
        page.process.send_signal(number)
        _, complaints = page.process.communicate()
        assert (page.process.returncode, complaints) == (130, "")


def test_a_port_that_is_taken_is_told_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ended = guardkit("serve", str(tmp_path), "--port", str(port))
    told = f"guardkit: cannot listen on port {port} of 127.0.0.1: Address already in use"
    assert complaint(ended) == f"{told}; give others by --port and --host"
    assert (ended.returncode, ended.stdout) == (7, "")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--port", "70000"), "a port is a number from 0 to 65535"),
        (("--port", "http"), "a port is a number from 0 to 65535"),
        (("/no/such/folder",), "/no/such/folder is no folder"),
        (("--project", "shop"), "add --nats"),
        (("--nats", "nats://me:secret@box"), "a login does not belong on a command line"),
    ],
)
def test_what_means_nothing_is_refused(words: tuple[str, ...], says: str) -> None:
    ended = guardkit("serve", *words)
    assert says in complaint(ended)
    assert "secret" not in ended.stderr
    assert ended.returncode == 2


def test_an_address_of_another_machine_is_told_in_one_line() -> None:
    ended = guardkit("serve", "--host", "192.0.2.1", "--port", "0")
    assert "cannot listen on port 0 of 192.0.2.1" in complaint(ended)
    assert ended.returncode == 7


@pytest.mark.parametrize("missing", ["starlette", "uvicorn", "sse_starlette", "jinja2"])
def test_without_the_extra_one_is_told_what_to_install(tmp_path: Path, missing: str) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None\n"
    code += "from guardkit.cli.main import main; main()"
    command = (sys.executable, "-c", code, "serve", str(tmp_path))
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (7, "")
    assert complaint(ended).endswith("pip install 'guardkit[web]'")


def test_other_commands_load_nothing_of_it() -> None:
    code = "import sys, guardkit.cli.main as it; it.make_parser(); print(*sys.modules)"
    loaded = subprocess.check_output((sys.executable, "-c", code), text=True)
    assert not {"starlette", "uvicorn", "jinja2", "sse_starlette"} & {*loaded.split()}


def token_file(page_says: str) -> Path:
    return Path(re.findall(r"is in (\S+), which", page_says)[0])


def test_where_others_can_reach_it_there_is_a_token(tmp_path: Path) -> None:
    built(tmp_path, "TASK-1")
    with serving(str(tmp_path), "--host", EVERYWHERE) as page:
        assert page.process.stdout
        file = token_file(page.process.stdout.readline())
        secret = file.read_text().strip().partition("?token=")[2]
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        code, refusal = page.ask()
        assert (code, "TASK-1" in refusal) == (401, False)
        code, visit = page.ask(f"/?token={secret}")
        assert code == 303
        cookie = re.findall(r"set-cookie: ([^;]*)", visit)[0]
        assert "TASK-1" in page.ask("/", f"Cookie: {cookie}")[1]
        page.process.send_signal(signal.SIGINT)
        said, complaints = page.process.communicate()
        assert not file.exists()
        assert secret not in page.url + said + complaints


def test_a_token_that_is_tried_many_times_is_not_found(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    built(tmp_path, "TASK-1")
    tries = 10_000 if pytestconfig.getoption("long") else 500
    with serving(str(tmp_path), "--host", EVERYWHERE) as page:
        before = page.memory()
        request = f"GET /?token=guess HTTP/1.1\r\nHost: {page.host}\r\n"
        request += "Cookie: guardkit-1=x\r\n\r\n"
        codes: list[int] = []
        with page.connect() as connection, connection.makefile("rb") as answers:
            for _ in range(tries):
                connection.sendall(request.encode())
                head = [*iter(answers.readline, b"\r\n")]
                codes.append(int(head[0].split()[1]))
                size = next(int(line[15:]) for line in head if line.startswith(b"content-length"))
                assert b"TASK-1" not in answers.read(size)
        assert {*codes} == {401, 429}
        assert codes.count(401) < TRIES + tries / 50
        assert page.memory() - before < 10 * 2**20
        page.process.send_signal(signal.SIGINT)
        assert page.process.communicate()[1] == ""
