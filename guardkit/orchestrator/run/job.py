"""A command as a job: signals are passed on to it, and who has started it stops when it does."""

import asyncio
import os
import signal
from collections.abc import Generator
from contextlib import contextmanager, suppress
from signal import SIG_DFL, SIG_IGN

from guardkit.clock import Clock
from guardkit.orchestrator.run.terminal import in_foreground, terminal_for
from guardkit.orchestrator.run.wires import Wires

LOOK_EVERY = 1.0  # seconds between two looks whether we are in the foreground
ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
PASSED_ON = (*ENDING, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTSTP)
KEYS = (signal.SIGINT, signal.SIGQUIT)  # that a terminal sends to all in its foreground
ASKING = (signal.SIGTTIN, signal.SIGTTOU)  # for the terminal


class Job:
    """The process group of a command, and the terminal that it works on; made on the event loop.

    wires: the streams of the command.
    tab: what its terminal is sent when it begins to work there, and when it no longer does.
    enough: set when somebody wants an end, and the command has ended.
    """

    def __init__(self, wires: Wires, tab: tuple[bytes, bytes]) -> None:
        self.enough = asyncio.Event()
        self._wires = wires
        self._terminal = terminal_for(wires, tab)
        self._group = 0  # 0: it has not started, or has ended
        self._early: list[int] | None = []  # signals that have come before; None: it has started
        self._sent = set[int]()
        self._key = 0  # the signal of a key, such as Ctrl-C, that has ended it

    def prepare(self) -> None:
        """Hold the terminal for a command that is about to start, if that has one of its own."""
        if self._wires.terminal is not None:
            self._terminal.hold(self._group)

    def begin(self, group: int) -> None:
        """Take the process group of the command, which has started."""
        self._group = group
        early, self._early = self._early or [], None
        for number in early:
            self.send(number)

    def end(self, code: int) -> None:
        """Let go of a command that has ended.

        code: its exit code, negative for the signal that has ended it.
        """
        self._group = 0
        if -code in self._sent:
            self.enough.set()
        elif -code in KEYS and self._terminal.held:
            self._key = -code

    def send(self, number: int) -> None:
        """Pass a signal on to the command's group."""
        if self._early is not None:
            self._early.append(number)
        elif not self._group:
            if number in ENDING:
                self.enough.set()
        else:
            self._sent.add(number)
            with suppress(OSError):  # it has just ended, or is another user's by now
                os.killpg(self._group, number)

    @contextmanager
    def connected(self) -> Generator[None]:
        """Pass signals on, but those that we were started to ignore, as by nohup.

        In the end the terminal is given back, and signals change nothing any more. A key that has
        ended the command, such as Ctrl-C, is for all in the foreground, as whoever writes to it in
        a pipe: its terminal has told the command alone.
        """
        loop = asyncio.get_running_loop()
        heeded = [each for each in PASSED_ON if signal.getsignal(each) is not SIG_IGN]
        for each in heeded:
            loop.add_signal_handler(each, self.send, each)
        loop.add_signal_handler(signal.SIGCONT, self._go_on)
        loop.add_signal_handler(signal.SIGWINCH, self._resize)
        try:
            yield
        finally:
            self._terminal.give_back()
            for each in (*heeded, signal.SIGCONT, signal.SIGWINCH):
                loop.remove_signal_handler(each)
            for each in heeded:
                signal.signal(each, SIG_IGN)
            if self._key in heeded and in_foreground():
                os.kill(0, self._key)

    async def follow_foreground(self, clock: Clock) -> None:
        """Hold the terminal when a shell brings us into the foreground, for ever.

        No signal tells of it.
        """
        while self._wires.terminal is not None:
            await clock.sleep(LOOK_EVERY)
            if self._group and not self._terminal.held:
                self._terminal.hold(self._group)

    def lend(self, number: int) -> bool:
        """Lend the terminal to a command that was stopped for want of it, if that is the reason."""
        if number not in ASKING or self._wires.terminal is not None:
            return False
        if self._terminal.held or not self._terminal.hold(self._group):
            return False
        self.send(signal.SIGCONT)
        return True

    def stop(self, number: int) -> None:
        """Stop, as the command has done; when we are continued, continue the command.

        Our whole group stops where the terminal has told the command alone. Where no shell could
        continue us, the kernel does not stop us, and the command goes on at once; a command that
        waits for the terminal does not, as it would only ask again.

        number: the signal that has stopped the command.
        """
        was_held = self._terminal.held
        self._terminal.give_back()
        before = signal.getsignal(number)
        if before is not SIG_IGN:
            signal.signal(number, SIG_DFL)
            os.kill(0 if was_held else os.getpid(), number)
            signal.signal(number, before)
        if was_held:
            self._terminal.hold(self._group)
        if number not in ASKING:
            self._go_on()

    def _go_on(self) -> None:
        """Continue the command, after a stop of any kind."""
        if self._group and self._terminal.held:
            self._terminal.hold(self._group)
        self._wires.resize()
        self.send(signal.SIGCONT)

    def _resize(self) -> None:
        self._wires.resize()
        if self._wires.terminal is None:  # else its own terminal tells it
            self.send(signal.SIGWINCH)
