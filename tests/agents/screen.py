"""A program on a terminal of its own, which tests read as a person does: in tmux."""

import io
import os
import re
import select
import shlex
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

COLUMNS = 110
PATIENCE = 60.0  # seconds until what is waited for must be there
KEPT = Path(__file__).parents[2] / "build/agents"


class Screen:
    """What a program draws on a terminal.

    folder: holds the socket of a tmux server that has nothing else, and whose settings are its own.
    command, env, cwd: of the program; `env` is all that it has.
    """

    def __init__(
        self,
        folder: Path,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        columns: int = COLUMNS,
        lines: int = 30,
    ) -> None:
        folder.mkdir()
        (folder / "tmux.conf").write_text("set-option -g remain-on-exit on\n")
        self._tmux = ("tmux", "-S", str(folder / "socket"), "-f", str(folder / "tmux.conf"))
        variables = (f"{name}={value}" for name, value in env.items())
        program = shlex.join(["env", "-i", *variables, "TERM=xterm-256color", *command])
        size = ("-x", str(columns), "-y", str(lines))
        self._run("new-session", "-d", *size, "-c", str(cwd), program)
        os.mkfifo(folder / "drawn")
        self._drawn = os.open(folder / "drawn", os.O_RDWR | os.O_NONBLOCK)
        self._run("pipe-pane", "-O", f"exec cat > {shlex.quote(str(folder / 'drawn'))}")

    def close(self) -> None:
        """End the program, and return when it has ended."""
        pid = int(self._run("display-message", "-p", "#{pane_pid}"))
        self._run("kill-server")
        with suppress(ProcessLookupError):  # it has ended already
            program = os.pidfd_open(pid)
            select.select([program], [], [], PATIENCE)
            os.close(program)
        os.close(self._drawn)

    def text(self) -> str:
        """Return what stands on the screen now, without trailing spaces."""
        return self._run("capture-pane", "-p").rstrip()

    def wait_for(self, pattern: str, *, within: float = PATIENCE) -> re.Match[str]:
        """Return where a pattern matches on the screen, as soon as it does.

        within: seconds at most; the test fails with the screen when they are over.
        """
        for text in self._screens(within):
            if found := re.search(pattern, text):
                return found
        pytest.fail(f"{pattern!r} is not on the screen:\n{self.text()}")

    def wait_until_gone(self, pattern: str) -> None:
        """Return as soon as a pattern matches nothing on the screen."""
        for text in self._screens(PATIENCE):
            if not re.search(pattern, text):
                return
        pytest.fail(f"{pattern!r} stays on the screen:\n{self.text()}")

    def type(self, text: str) -> None:
        """Type a text, and press Enter when it is there."""
        self._run("send-keys", "-l", text)
        self.wait_for(re.escape(text[:30]))
        self.press("Enter")

    def press(self, *keys: str) -> None:
        """Press some keys, as tmux names them."""
        self._run("send-keys", *keys)

    def keep(self, name: str, *, without: Path) -> None:
        """Keep what stands on the screen as a file for people.

        without: the path of a folder, of which the name alone is kept.
        """
        KEPT.mkdir(parents=True, exist_ok=True)
        (KEPT / f"{name}.txt").write_text(self.text().replace(str(without), without.name) + "\n")

    def draw(self, name: str, title: str, *, without: Path) -> None:
        """Keep what stands on the screen as a picture, below the command that a person types.

        title: that command. without: as for `keep`, here of the folder in which the project is.
        """
        console = Console(record=True, file=io.StringIO(), width=COLUMNS, force_terminal=True)
        drawn = self._run("capture-pane", "-p", "-e").rstrip().replace(f"{without}/", "")
        console.print(Text.from_ansi(f"$ {title}\n\n{drawn}"), soft_wrap=True)
        KEPT.mkdir(parents=True, exist_ok=True)
        picture = console.export_svg(title=title, unique_id="guardkit")
        (KEPT / f"{name}.svg").write_text(picture)

    def _screens(self, within: float) -> Iterator[str]:
        """Return what stands on the screen, now and each time that something is drawn."""
        end = time.monotonic() + within
        yield self.text()
        while (left := end - time.monotonic()) > 0:
            if select.select([self._drawn], [], [], left)[0]:
                os.read(self._drawn, 2**16)
                yield self.text()

    def _run(self, *words: str) -> str:
        ended = subprocess.run(
            (*self._tmux, *words), capture_output=True, text=True, check=True, timeout=PATIENCE
        )
        return ended.stdout
