"""Who connects to the page to read what he may not, to fill it, or to break it."""

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncGenerator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from guardkit import Builds
from guardkit.places.web.app import STREAMS_MAX
from guardkit.places.web.door import ASKS, CONNECTIONS_MAX, READS, SWEEP
from guardkit.places.web.serving import BACKLOG, listen, serve
from guardkit.progress.folder import open_builds
from guardkit.progress.journal import append
from guardkit.progress.snapshot import encode, make_event
from guardkit.testing import FakeClock

from ..looks import START, Writer, document
from ..serving import PATIENCE, Served, received, serving
from .test_cli import built
from .test_hostile import evil

MANY = 300
ROOM = 40  # descriptors that the page has besides connections
MEMORY = 20 * 2**20  # bytes by which the page may grow


@contextmanager
def secret_page(root: Path) -> Iterator[Served]:
    """Serve a build whose name is a secret; in the end the page is as it was."""
    built(root, "TASK-SECRET")
    with serving(str(root)) as page:
        assert "TASK-SECRET" in page.ask()[1]
        before = page.memory()
        yield page
        while (answer := page.ask())[0] == 429:
            pass  # in some milliseconds it may be asked again
        assert "TASK-SECRET" in answer[1]
        assert page.memory() - before < MEMORY
        page.process.send_signal(signal.SIGINT)
        assert page.process.communicate()[1] == ""
        assert page.process.returncode == 130


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with secret_page(tmp_path_factory.mktemp("shop")) as page:
        yield page


@pytest.fixture
def own_page(tmp_path: Path) -> Iterator[Served]:
    with secret_page(tmp_path) as page:
        yield page


@pytest.mark.parametrize("path", ["/", "/stream", "/builds/shop0/TASK-SECRET", "/script.js"])
@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("Origin: http://evil.example", 403),
        ("Origin: null", 403),
        ("Sec-Fetch-Site: cross-site", 403),
        ("Host: evil.example", 421),
        ("Host: 127.0.0.1.evil.example:{port}", 421),
        ("Host: [::ffff:7f00:1]:{port}", 421),
    ],
)
def test_another_site_gets_nothing(page: Served, path: str, line: str, code: int) -> None:
    answered, told = page.ask(path, line.format(port=page.port))
    assert (answered, "SECRET" in told) == (code, False)


@pytest.mark.parametrize(
    "target",
    [
        "/../../../../etc/passwd",
        "/builds/../../../../etc/passwd",
        "/builds/shop0/../../../../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/builds/shop0/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/builds/shop0/TASK-SECRET%00",
        "/builds/shop0/TASK-SECRET/../progress.json",
        "/builds/%2e%2e/TASK-SECRET",
        "//etc/passwd",
        "/style.css/../../pages.py",
        "/%",
        "/builds/shop0/%ff%fe",
    ],
)
def test_no_path_leads_out(page: Served, target: str) -> None:
    code, told = page.ask(target)
    assert code in {400, 404}
    assert "root:" not in told
    assert "import" not in told


GARBAGE = {
    "nothing": b"\r\n\r\n",
    "noise": bytes(range(256)) * 40,
    "zeros": b"\0" * 10_000,
    "a line without an end": b"GET /" + b"x" * 2**20,
    "a header without an end": b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 2**20,
    "many headers": b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 100_000,
    "tls": bytes.fromhex("16030100f8010000f40303") + b"\x8f" * 200,
    "http 2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "http 0.9": b"GET /\r\n",
    "http 9": b"GET / HTTP/9.9\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two lengths": b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "smuggled": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\nzz",
    "split": b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
    "absolute": b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "connect": b"CONNECT evil.example:80 HTTP/1.1\r\nHost: evil.example:80\r\n\r\n",
}


@pytest.mark.parametrize("said", GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_refused(page: Served, said: bytes) -> None:
    try:
        with page.connect() as connection:
            connection.sendall(said)
            connection.shutdown(socket.SHUT_WR)
            told = connection.recv(2**16)
    except OSError:  # it did not listen to the end
        told = b""
    assert b"SECRET" not in told
    assert not told or told[9:12] in {b"400", b"405", b"421", b"431"}


def test_a_socket_of_another_kind_is_not_to_be_had(page: Served) -> None:
    lines = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    code, told = page.ask("/stream", "Host: evil.example", *lines)
    assert (code, "SECRET" in told) == (421, False)


def test_a_thousand_requests_in_a_row_are_answered_or_refused(own_page: Served) -> None:
    request = f"GET /style.css HTTP/1.1\r\nHost: {own_page.host}\r\n\r\n".encode()
    with own_page.connect() as connection:
        connection.sendall(request * 1000)
        found = b""
        while found.count(b"HTTP/1.1 ") < 1000:
            found += connection.recv(2**16)
    assert found.count(b"HTTP/1.1 429") > 500


def test_idle_clients_keep_nobody_out(own_page: Served, pytestconfig: pytest.Config) -> None:
    number = 1000 if pytestconfig.getoption("long") else MANY
    with ExitStack() as stack:
        for n in range(number):
            connection = stack.enter_context(own_page.connect())
            connection.sendall(b"GET / HT" * (n % 2))
            assert own_page.descriptors() < CONNECTIONS_MAX + 2 * BACKLOG + ROOM
        assert "TASK-SECRET" in own_page.ask()[1]
        with own_page.streaming() as stream:
            stream.until("TASK-SECRET")


def test_too_many_who_look_on_leave_the_page_to_others(own_page: Served) -> None:
    with ExitStack() as stack:
        for _ in range(STREAMS_MAX):
            stack.enter_context(own_page.streaming()).until("TASK-SECRET")
        assert own_page.ask("/stream")[0] == 503
        assert own_page.ask("/")[0] == 200
    with own_page.streaming() as stream:
        stream.until("TASK-SECRET")


def test_who_never_reads_costs_no_memory_and_no_news(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    changes = 20_000 if pytestconfig.getoption("long") else 2_000
    writer = Writer(tmp_path, FakeClock())
    seen = document(phase_status="in_progress")
    writer.put(seen)
    with serving(str(tmp_path)) as page, ExitStack() as stack:
        silent = [stack.enter_context(page.streaming(buffer=2048)) for _ in range(20)]
        stream = stack.enter_context(page.streaming())
        stream.until("TASK-1")
        before = page.memory()
        for number in range(1, changes + 1):
            tracker = replace(seen.tracker, seq=number)
            writer.put(replace(seen, phase=f"Phase {number} {'x' * 200}", tracker=tracker))
            if not number % 200:
                stream.until(f"Phase {number} ")
        assert len(silent) == 20
        assert page.memory() - before < MEMORY


def test_builds_with_hostile_texts_are_shown_plainly(tmp_path: Path) -> None:
    with open_builds(tmp_path, make=True) as builds:
        for task_id, status in (("TASK-1", "running"), ("TASK-2", "failed")):
            with builds.folder(task_id, make=True) as folder:
                seen = evil(task_id, status)
                append(folder, [make_event("decided", START, seen)])
                Path(folder.path, "progress.json").write_bytes(encode(seen))
                Path(folder.path, "coach_turn_1.json").write_text(json.dumps({"issues": ["\x1b"]}))
        with builds.folder("TASK-3", make=True) as folder:
            Path(folder.path, "progress.json").write_bytes(b'{"task_id": "\x1b[2J"}')
        with builds.folder("TASK-4", make=True) as folder:
            os.mkfifo(Path(folder.path, "progress.json"))
    with serving(str(tmp_path)) as page:
        slug = tmp_path.name
        for path in ("/", *(f"/builds/{slug}/TASK-{n}" for n in range(1, 5))):
            code, told = page.ask(path)
            assert code == 200
            text = told.partition("\r\n\r\n")[2].replace("\r\n", "\n")
            assert [c for c in text if not c.isprintable() and c != "\n"] == []
        assert told.count("unreadable") > 1


@asynccontextmanager
async def in_time(root: Path, clock: FakeClock) -> AsyncGenerator[int]:
    """Serve the page in this process, on a clock that is moved; yield its port."""
    listening = listen("127.0.0.1", 0)
    port: int = listening.getsockname()[1]
    task = asyncio.create_task(serve([Builds(root, clock=clock)], listening, clock=clock))
    try:
        yield port
    finally:
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()


async def is_open(reader: asyncio.StreamReader) -> bool:
    """Return whether the other end of a connection is still there."""
    try:
        async with asyncio.timeout(0.3):
            while await reader.read(2**16):
                pass
    except TimeoutError:
        return True
    except ConnectionError:
        pass
    return False


@pytest.mark.anyio
@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nHost"], ids=["nothing", "half"])
async def test_who_sends_no_request_is_not_waited_for(
    tmp_path: Path, clock: FakeClock, said: bytes
) -> None:
    async with in_time(tmp_path, clock) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(said)
        await clock.advance(ASKS * SWEEP)
        assert await is_open(reader)
        await clock.advance(2 * SWEEP)
        assert not await is_open(reader)
        writer.close()


@pytest.mark.anyio
async def test_who_looks_on_and_reads_is_kept(tmp_path: Path, clock: FakeClock) -> None:
    async with in_time(tmp_path, clock) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET /stream HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        await reader.readuntil(b"builds")
        await clock.advance(100 * SWEEP)
        assert await is_open(reader)
        writer.close()


@pytest.mark.anyio
async def test_who_looks_on_and_never_reads_is_not_kept(tmp_path: Path, clock: FakeClock) -> None:
    shop = Writer(tmp_path, clock)
    for number in range(500):
        shop.put(document(f"TASK-{number}", task_name="x" * 200))
    async with in_time(tmp_path, clock) as port:
        with socket.socket() as silent:
            silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            silent.connect(("127.0.0.1", port))
            silent.sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
            await clock.advance((READS + 3) * SWEEP)
            silent.settimeout(PATIENCE)
            told = b"".join(iter(lambda: received(silent), b""))
            assert told.startswith(b"HTTP/1.1 200")
            assert b"</html>" not in told
