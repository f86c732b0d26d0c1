"""The page as a process of its own, and who connects to it: browsers, and worse."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

EVERYWHERE = "0.0.0.0"  # noqa: S104 - tests connect by 127.0.0.1 alone
PATIENCE = 30.0  # seconds for an answer that is due at once


class Served:
    """A page that is served."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process, self.url = process, url
        self.port = int(url.rstrip("/").rpartition(":")[2])

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def connect(self, *, buffer: int | None = None) -> socket.socket:
        """Return a connection; buffer: bytes that its kernel takes."""
        connection = socket.socket()
        if buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        connection.settimeout(PATIENCE)
        connection.connect(("127.0.0.1", self.port))
        return connection

    def ask(self, path: str = "/", *lines: str, method: str = "GET") -> tuple[int, str]:
        """Return code and text of an answer; lines: of headers, also another Host."""
        hosts = [] if any(line.lower().startswith("host:") for line in lines) else [self.host]
        head = [f"{method} {path} HTTP/1.1", *(f"Host: {host}" for host in hosts), *lines]
        return self.say("\r\n".join([*head, "Connection: close", "", ""]).encode())

    def say(self, request: bytes) -> tuple[int, str]:
        """Return code and text of what is answered to some bytes; code 0: nothing."""
        with self.connect() as connection:
            connection.sendall(request)
            told = b"".join(iter(lambda: received(connection), b"")).decode()
        return code_of(told), told

    def memory(self) -> int:
        """Return how many bytes of memory the process has."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) * 1024

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    @contextmanager
    def streaming(self, path: str = "/stream", **options: Any) -> Generator["Stream"]:
        """Look on."""
        with self.connect(**options) as connection:
            yield Stream(connection, self.host, path)


class Stream:
    """A stream of events, as a browser gets it."""

    def __init__(self, connection: socket.socket, host: str, path: str) -> None:
        self.connection = connection
        self._rest = ""
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())

    def until(self, text: str) -> str:
        """Return what has come since the last call when `text` has."""
        found = self._rest
        while text not in found:
            more = self.connection.recv(2**16).decode(errors="replace")
            assert more, found
            found += more
        before, _, self._rest = found.partition(text)
        return before + text


def received(connection: socket.socket) -> bytes:
    """Return what has come, b"" where the other end is closed, in whatever way."""
    try:
        return connection.recv(2**16)
    except ConnectionError:
        return b""


def code_of(answer: str) -> int:
    found = re.match(r"HTTP/1.1 (\d+)", answer)
    return int(found[1]) if found else 0


@contextmanager
def serving(*words: str, **options: Any) -> Iterator[Served]:
    """Serve the page, on a port that is free; it does not outlive the block."""
    command = (sys.executable, "-m", "guardkit.cli.main", "serve", *words, "--port", "0")
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, **options) as process:
        try:
            assert process.stdout
            url = process.stdout.readline().strip()
            assert url, process.communicate()[1]
            yield Served(process, url)
        finally:
            process.kill()
