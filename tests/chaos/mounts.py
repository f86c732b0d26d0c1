"""File systems of their own: a small one, and one that can be made to hang."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def run_or_skip(*command: str) -> None:
    """Run a command that needs rights which not everybody has."""
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        pytest.skip(f"{' '.join(command[:3])} is not permitted here: {ended.stderr.strip()}")


@contextmanager
def tmpfs(root: Path) -> Iterator[None]:
    """Mount a small file system of its own at `root`."""
    run_or_skip("mount", "-t", "tmpfs", "-o", "size=256k,nr_inodes=64,mode=777", "none", str(root))
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(root)], check=True)


class Mount:
    """A directory that is seen through a server, which can be stopped; `behind` never hangs."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "mount"
        self.behind = folder / "behind"
        for each in (self.path, self.behind):
            each.mkdir()
        self._server = subprocess.Popen(["bindfs", "-f", str(self.behind), str(self.path)])

    def hang(self) -> None:
        self._server.send_signal(signal.SIGSTOP)
        os.waitpid(self._server.pid, os.WUNTRACED)

    def mend(self) -> None:
        self._server.send_signal(signal.SIGCONT)

    def close(self) -> None:
        self.mend()
        subprocess.run(["umount", "--lazy", str(self.path)], check=False)
        self._server.terminate()
        self._server.wait()
