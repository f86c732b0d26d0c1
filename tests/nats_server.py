"""A real nats-server for tests, which can be killed, stopped and started again."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PORTS = range(10_000, 32_000)  # none that an outgoing connection is given meanwhile
PATIENCE = 30.0  # seconds


class NatsServer:
    """A server on a port of 127.0.0.1, with a store of its own; both stay the same.

    `lines` of configuration come on top; without `jetstream` it keeps nothing.
    """

    def __init__(self, folder: Path, *lines: str, jetstream: bool = True) -> None:
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        store = f"jetstream {{ store_dir: {json.dumps(str(folder / 'store'))} }}"
        self._config = folder / "server.conf"
        self._config.write_text("\n".join([*lines, store if jetstream else ""]))
        self._log = folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and return when it answers."""
        program = Path(sys.executable).with_name("nats-server")
        command = [program if program.exists() else shutil.which("nats-server") or "nats-server"]
        command += ["-a", "127.0.0.1", "-p", str(self.port), "-c", self._config, "-l", self._log]
        self._process = subprocess.Popen(command)
        end = time.monotonic() + PATIENCE
        while not self._answers():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < end, self._log.read_text()
            time.sleep(0.01)

    def kill(self) -> None:
        """Kill it with SIGKILL, whether or not it is stopped."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Kill it, and start it again."""
        self.kill()
        self.start()

    def hang(self) -> None:
        """Stop it: the kernel goes on accepting connections for it."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)
        os.waitpid(self._process.pid, os.WUNTRACED)
        while any(state != "T" for state in thread_states(self._process.pid)):
            time.sleep(0.001)  # not all of it stops at once

    def go_on(self) -> None:
        """Let it run after `hang`."""
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as client:
            return client.recv(4) == b"INFO"
        return False


class NatsCluster:
    """Three servers on 127.0.0.1 that know each other; `url` is that of all of them."""

    def __init__(self, folder: Path) -> None:
        ports = [free_port() for _ in range(3)]
        routes = json.dumps([f"nats://127.0.0.1:{port}" for port in ports])
        self.servers: dict[str, NatsServer] = {}
        for port in ports:
            name, listen = f"server-{port}", json.dumps(f"127.0.0.1:{port}")
            home = folder / name
            home.mkdir()
            cluster = f"cluster {{ name: tests, listen: {listen}, routes: {routes} }}"
            self.servers[name] = NatsServer(home, f"server_name: {name}", cluster)
        self.url = ",".join(server.url for server in self.servers.values())


@contextmanager
def serving(folder: Path, *lines: str) -> Iterator[NatsServer]:
    """Run a server in a folder that is made for it; it is killed in the end."""
    folder.mkdir()
    server = NatsServer(folder, *lines)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def thread_states(pid: int) -> list[str]:
    """Return the states of the threads of a process, such as R (it runs) and T (it is stopped)."""
    stats = Path(f"/proc/{pid}/task").glob("*/stat")
    return [stat.read_text().rpartition(")")[2].split()[0] for stat in stats]


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nobody listens, and which no other test is given."""
    while True:
        port = random.choice(PORTS)  # noqa: S311
        claim = socket.socket(type=socket.SOCK_DGRAM)
        with suppress(OSError), claim, socket.socket() as listener:
            claim.bind(("127.0.0.1", port))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", port))
            claim.detach()  # so that it is held until this process has ended
            return port
