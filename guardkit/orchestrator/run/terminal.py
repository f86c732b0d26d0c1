"""The user's terminal, while a command has it: held for the command, and given back."""

import asyncio
import os
import signal
import termios
import tty
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from guardkit.orchestrator.run.wires import Wires, is_ours

CHUNK = 4096


class Terminal(Protocol):
    """The user's terminal; nothing is done to one that a shell has given to another job."""

    @property
    def held(self) -> bool:
        """Whether the command has the terminal."""
        ...

    def hold(self, group: int) -> bool:
        """Have the command's process group have the terminal, if it is ours; return `held`."""
        ...

    def give_back(self) -> None:
        """Have the terminal be as it was before it was held."""
        ...


class Raw:
    """The terminal of a command that has one of its own: what is typed is passed on to that.

    It is held in raw mode, in which Ctrl-C and Ctrl-Z are keys as all others, and no line feed is
    changed. While it is not held, the command's own terminal changes none.

    source: a descriptor of the terminal.
    target: our end of the command's own terminal; does not block.
    tab: what the terminal is sent when it is held, and when it is given back.
    """

    def __init__(self, source: int, target: int, tab: tuple[bytes, bytes]) -> None:
        self._fd = _open_again(source)
        self._target = target
        self._begin, self._end = tab
        self._keyboard = Keyboard(self._fd, target)
        self._before: list[Any] = []  # its attributes
        self._changes = _have_changed(target, 0)  # what the command's terminal does when it is held

    @property
    def held(self) -> bool:
        """Whether the terminal is in raw mode."""
        return bool(self._before)

    def hold(self, group: int) -> bool:
        """Bring the terminal into raw mode, also where something has changed that meanwhile."""
        if is_ours(self._fd):
            with suppress(termios.error):  # it is gone
                if not self.held:
                    self._before = termios.tcgetattr(self._fd)
                    _have_changed(self._target, self._changes)
                    self._send(self._begin)
                tty.setraw(self._fd, termios.TCSANOW)
                self._keyboard.start()
        return self.held

    def give_back(self) -> None:
        """Bring the terminal back into the mode that it was in."""
        self._keyboard.stop()
        if self.held:
            self._changes = _have_changed(self._target, 0)
        before, self._before = self._before, []
        if before and is_ours(self._fd):
            self._send(self._end)
            with suppress(termios.error):
                termios.tcsetattr(self._fd, termios.TCSANOW, before)

    def _send(self, sequence: bytes) -> None:
        with suppress(OSError):  # it is gone, or takes nothing now
            os.write(self._fd, sequence)


class Lent:
    """The terminal of a command that has none of its own: it is lent where the command asks.

    A command in a pipe, such as `… | less`, shares it with others, and may not ask at all.
    """

    def __init__(self) -> None:
        self._fd = -1

    @property
    def held(self) -> bool:
        """Whether the command's group is in the foreground."""
        return self._fd >= 0

    def hold(self, group: int) -> bool:
        """Bring the command's group into the foreground."""
        if not self.held:
            with suppress(OSError):  # there is no terminal
                fd = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
                if os.tcgetpgrp(fd) == os.getpgrp():
                    os.tcsetpgrp(fd, group)
                    self._fd = fd
                else:
                    os.close(fd)
        return self.held

    def give_back(self) -> None:
        """Bring our own group into the foreground."""
        if self.held:
            with suppress(OSError), _in_background():
                os.tcsetpgrp(self._fd, os.getpgrp())
            os.close(self._fd)
            self._fd = -1


class Keyboard:
    """Keys on their way from one terminal to another, no faster than they are taken."""

    def __init__(self, source: int, target: int) -> None:
        self._source = source
        self._target = target
        self._keys = b""

    def start(self) -> None:
        """Pass keys on."""
        if not self._keys:
            asyncio.get_running_loop().add_reader(self._source, self._read)

    def stop(self) -> None:
        """Pass nothing more on."""
        self._keys, loop = b"", asyncio.get_running_loop()
        loop.remove_reader(self._source)
        loop.remove_writer(self._target)

    def _read(self) -> None:
        try:
            self._keys = os.read(self._source, CHUNK)
        except BlockingIOError:  # another program has taken them
            return
        except OSError:
            self._keys = b""
        if self._keys:
            self._write()
        else:  # the terminal is gone
            self.stop()

    def _write(self) -> None:
        loop, taken = asyncio.get_running_loop(), 0
        try:
            taken = os.write(self._target, self._keys)
        except BlockingIOError:
            pass
        except OSError:
            self.stop()
            return
        self._keys = self._keys[taken:]
        if self._keys:
            loop.remove_reader(self._source)
            loop.add_writer(self._target, self._write)
        else:
            loop.remove_writer(self._target)
            loop.add_reader(self._source, self._read)


def terminal_for(wires: Wires, tab: tuple[bytes, bytes]) -> Terminal:
    """Return the user's terminal, for a command with these streams; tab: as for `Raw`."""
    if wires.terminal is None:
        return Lent()
    return Raw(0 if os.isatty(0) else 1, wires.out.ours, tab)


def in_foreground() -> bool:
    """Return whether our group is in the foreground of the terminal of our session."""
    with suppress(OSError):  # there is none
        fd = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
        try:
            return is_ours(fd)
        finally:
            os.close(fd)
    return False


def _have_changed(fd: int, changes: int) -> int:
    """Have a terminal change what it is given, or not (0), and return what it did before."""
    with suppress(termios.error):  # it is gone
        attributes = termios.tcgetattr(fd)
        before = int(attributes[1]) & termios.OPOST
        attributes[1] = int(attributes[1]) & ~termios.OPOST | changes
        termios.tcsetattr(fd, termios.TCSANOW, attributes)
        return before
    return 0


def _open_again(fd: int) -> int:
    """Return a descriptor of a terminal that does not block, and whose mode nobody shares."""
    try:
        return os.open(f"/dev/fd/{fd}", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # it is another user's
        return os.dup(fd)


@contextmanager
def _in_background() -> Generator[None]:
    """Have the terminal obey, though we are not in its foreground."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTTOU])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
