"""File systems of their own: a small one, and one that can be made to hang."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .forking import wait_for


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
    """A directory that is seen through a server, which can be stopped; `behind` never hangs.

    Another mount of the same folder, of another name, sees the same files, and shares no locks.
    """

    def __init__(self, folder: Path, name: str, *options: str) -> None:
        self.path = folder / name
        self.behind = folder / "behind"
        for each in (self.path, self.behind):
            each.mkdir(exist_ok=True)
        command = ["bindfs", *options, "-f", str(self.behind), str(self.path)]
        self._server = subprocess.Popen(command)

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


@contextmanager
def mounted(folder: Path, name: str = "mount", *options: str) -> Iterator[Mount]:
    """Mount the folder `behind` once more, through a server."""
    if not os.access("/dev/fuse", os.W_OK) or not shutil.which("bindfs"):
        pytest.skip("it takes the bindfs command, and rights to use /dev/fuse")
    mount = Mount(folder, name, *options)
    if wait_for(mount.path.is_mount) is None:
        pytest.skip("nothing may be mounted here by bindfs")
    try:
        yield mount
    finally:
        mount.close()
