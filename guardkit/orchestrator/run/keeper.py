"""The process between us and a command: starts the command, and tells what becomes of it.

A command on a terminal of its own needs a parent in the same session: without one, the kernel lets
Ctrl-Z stop nothing, as no shell could continue what has stopped.
"""

import asyncio
import errno
import fcntl
import os
import select
import signal
import socket
import termios
from contextlib import suppress
from enum import IntEnum
from signal import SIG_DFL, SIG_IGN
from struct import Struct
from types import TracebackType
from typing import NamedTuple, NoReturn, Self

from guardkit.orchestrator.run.wires import Wires

EVENT = Struct("=ii")
# Sent to whole groups, by terminals and shells: the command is to act on them, not the keeper.
IGNORED = (
    *(signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1),
    *(signal.SIGUSR2, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU),
)
OF_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)  # which Python ignores, and no other program
UNSTARTED = 125  # the exit code of env(1) that has not started a command


class Kind(IntEnum):
    """What has become of a command, and what the number says that comes with it."""

    STARTED = 1  # its process id, which is that of its group
    REFUSED = 2  # the errno for which it could not be started
    STOPPED = 3  # the signal that has stopped it
    CONTINUED = 4
    ENDED = 5  # its exit code, negative for the signal that has ended it


class Event(NamedTuple):
    """Something that has become of a command."""

    kind: Kind
    number: int


class Keeper:
    """A process that waits to start a command, in a process group of its own.

    The keeper is to be made before there are threads or an event loop. Leaving the context manager
    ends it. A command that has not ended by then, as its builder was killed, gets SIGHUP, as from a
    terminal that is closed.

    command: the words of the command.
    wires: its standard streams.
    """

    def __init__(self, command: list[str], wires: Wires) -> None:
        self._line, other = socket.socketpair()
        self._pid = os.fork()
        if not self._pid:
            try:
                self._line.close()
                wires.close_ours()
                _keep(command, wires, other)
            finally:
                os._exit(UNSTARTED)
        other.close()
        self._line.setblocking(False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._line.close()
        with suppress(ChildProcessError):
            os.waitpid(self._pid, 0)

    def go(self) -> None:
        """Have the command started."""
        self._line.send(b"!")

    async def hear(self) -> Event | None:
        """Return what becomes of the command next, None where nobody can tell any more."""
        message = await asyncio.get_running_loop().sock_recv(self._line, EVENT.size)
        if not message:
            return None
        kind, number = EVENT.unpack(message)
        return Event(Kind(kind), number)


def _keep(command: list[str], wires: Wires, line: socket.socket) -> None:
    """Be the keeper; return when the command has ended and the builder is done with it."""
    ignored = {each for each in IGNORED if signal.getsignal(each) is SIG_IGN}
    for each in IGNORED:
        signal.signal(each, SIG_IGN)
    bell, ring = os.pipe()
    os.set_blocking(ring, False)
    signal.signal(signal.SIGCHLD, _ignore)
    signal.set_wakeup_fd(ring)
    if wires.terminal is not None:
        os.setsid()
        fcntl.ioctl(wires.terminal, termios.TIOCSCTTY, 0)
    if not line.recv(1):
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    command_id = os.fork()
    if not command_id:
        for each in (*IGNORED, *OF_PYTHON, signal.SIGCHLD):
            signal.signal(each, SIG_IGN if each in ignored else SIG_DFL)
        _become(command, wires, line, before)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    with suppress(OSError):  # both do it, so that it is done for either
        os.setpgid(command_id, command_id)
    _tell(line, Kind.STARTED, command_id)
    _let_go(wires)
    _follow(command_id, line, bell)
    if wires.terminal is not None:
        _spare_what_is_left()


def _become(
    command: list[str], wires: Wires, line: socket.socket, mask: set[int | signal.Signals]
) -> NoReturn:
    """Be the command."""
    try:
        os.setpgid(0, 0)
        if wires.terminal is not None:
            os.tcsetpgrp(wires.terminal, os.getpid())
        for standard, fd in enumerate(wires.theirs):
            if fd != standard:
                os.dup2(fd, standard)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.execvp(command[0], command)  # noqa: S606 - a command is what was asked for
    except OSError as error:
        _tell(line, Kind.REFUSED, error.errno or 0)
    except ValueError:  # the name is empty
        _tell(line, Kind.REFUSED, errno.ENOENT)
    finally:
        os._exit(UNSTARTED)


def _ignore(number: int, frame: object) -> None:
    """Take a signal that has rung the bell."""


def _let_go(wires: Wires) -> None:
    """Let go of what the command writes to, so that its readers see the end."""
    null = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(null, standard)
    os.close(null)
    wires.close_theirs()


def _follow(command_id: int, line: socket.socket, bell: int) -> None:
    """Tell what becomes of the command until nobody listens; end a command that still runs then."""
    news = select.poll()
    news.register(bell, select.POLLIN)
    news.register(line, select.POLLIN)
    has_ended = False
    while True:
        ready = {fd for fd, _ in news.poll()}
        if bell in ready:
            os.read(bell, 512)
            has_ended = has_ended or _report(command_id, line)
        if line.fileno() in ready:
            break
    if not has_ended:
        for each in (signal.SIGHUP, signal.SIGCONT):
            with suppress(OSError):
                os.killpg(command_id, each)
        os._exit(0)  # the kernel hangs up on the rest of the session


def _report(command_id: int, line: socket.socket) -> bool:
    """Tell what is new of the command; return whether it has ended."""
    while True:
        found, status = os.waitpid(command_id, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
        if not found:
            return False
        if os.WIFSTOPPED(status):
            _tell(line, Kind.STOPPED, os.WSTOPSIG(status))
        elif os.WIFCONTINUED(status):
            _tell(line, Kind.CONTINUED, 0)
        else:
            _tell(line, Kind.ENDED, os.waitstatus_to_exitcode(status))
            return True


def _tell(line: socket.socket, kind: Kind, number: int) -> None:
    with suppress(OSError):  # nobody listens
        line.send(EVENT.pack(kind, number))


def _spare_what_is_left() -> None:
    """Bring our own group into the foreground of the terminal.

    The kernel sends SIGHUP to that group when the session ends: it would end what the command has
    left behind on purpose.
    """
    with suppress(OSError):
        fd = os.open("/dev/tty", os.O_RDWR)
        os.tcsetpgrp(fd, os.getpid())
