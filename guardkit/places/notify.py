"""Somebody is told when it matters: when a build is in trouble, and at its end, once each."""

import asyncio
import logging
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress

from guardkit.clock import Clock
from guardkit.monitor.look import Look
from guardkit.places.order import TROUBLE
from guardkit.places.plain import clean, clip
from guardkit.places.records import encode_look
from guardkit.places.words import is_over, place, run_of
from guardkit.progress.worker import Worker

log = logging.getLogger("guardkit.places")

PATIENCE = 30.0  # seconds that a command may take
GRACE = 35.0  # seconds for what is still to be told when a watch ends
TITLE_MAX, BODY_MAX = 80, 300  # characters
QUEUE_MAX = 100  # that wait to be told; then there is no more
SCREENS = "DISPLAY", "WAYLAND_DISPLAY"  # one of which is set where there is a desktop

Tell = Callable[[Look], None]


class Bell:
    """Tells somebody of looks that matter, one after the other, in a thread.

    tell: tells of one, and may take its time; raises OSError where that fails.
    """

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._worker = Worker()
        self._told: set[tuple[str, str | None, bool]] = set()
        self._waiting: set[asyncio.Future[None]] = set()
        self._has_failed = False

    def hear(self, look: Look) -> None:
        """Take the next look of a watch."""
        if (news := self._news(look)) and len(self._waiting) < QUEUE_MAX:
            self._told.add(news)
            future: asyncio.Future[None] = self._worker.submit(self._ring, look)
            self._waiting.add(future)
            future.add_done_callback(self._waiting.discard)

    async def finish(self) -> None:
        """Wait until all is told, or for so long as that may take."""
        try:
            if self._waiting:
                await asyncio.wait(self._waiting, timeout=GRACE)
        finally:
            self._worker.shutdown()

    def _news(self, look: Look) -> tuple[str, str | None, bool] | None:
        """Return what is new with a look, if somebody wants to know of it.

        What ends in trouble is told once. The end of a task is no news where its feature goes on.
        """
        state, ends = look.verdict.state, is_over(look.verdict)
        is_trouble = state in TROUBLE
        is_part = bool(look.snapshot and look.snapshot.tracker.parent_run)
        if not is_trouble and (not ends or is_part):
            return None
        news = look.task_id, run_of(look), ends
        return None if news in self._told else news

    def _ring(self, look: Look) -> None:
        try:
            self._tell(look)
        except (OSError, subprocess.SubprocessError) as error:
            if not self._has_failed:
                log.warning("nobody was told of %s: %s", look.task_id, error)
            self._has_failed = True


def by_command(command: str) -> Tell:
    """Return what gives a look to a command of the shell, as JSON on its standard input."""

    def tell(look: Look) -> None:
        _run(("/bin/sh", "-c", command), encode_look(look) + "\n")

    return tell


def by_desktop(clock: Clock) -> Tell:
    """Return what shows a look on the desktop, by `notify-send`."""

    def tell(look: Look) -> None:
        title, body = words(look, clock.monotonic())
        urgency = "critical" if look.verdict.state in TROUBLE else "normal"
        _run(("notify-send", f"--urgency={urgency}", "--app-name=guardkit", "--", title, body))

    return tell


def by_terminal(write: Callable[[bytes], object], env: Mapping[str, str], clock: Clock) -> Tell:
    """Return what has a terminal show a look, by OSC 777 or 9; others than these pass over it."""
    has_nine = env.get("TERM_PROGRAM") in {"iTerm.app", "ghostty", "WezTerm"}
    has_nine |= env.get("TERM", "").startswith("xterm-kitty")

    def tell(look: Look) -> None:
        title, body = (each.replace(";", ",") for each in words(look, clock.monotonic()))
        text = f"9;{title}: {body}" if has_nine else f"777;notify;{title};{body}"
        write(f"\x1b]{text}\x07".encode(errors="replace"))

    return tell


def has_desktop(env: Mapping[str, str]) -> bool:
    """Return whether there is a desktop, and a command that shows something on it."""
    return any(env.get(name) for name in SCREENS) and bool(shutil.which("notify-send"))


def words(look: Look, now: float) -> tuple[str, str]:
    """Return what a look is told with: a title, and a line.

    now: seconds of this boot's monotonic clock.
    """
    state, evidence = look.verdict
    title = f"{clean(look.task_id)} {state}"
    return clip(title, TITLE_MAX), clip(f"{place(look, now)} - {clean(evidence)}", BODY_MAX)


def _run(command: tuple[str, ...], given: str = "") -> None:
    """Run a command to its end; raises OSError where it fails, or takes too long.

    What it has started is ended with it.
    """
    pipe, null = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(
        command, stdin=pipe, stdout=null, stderr=pipe, text=True, start_new_session=True
    ) as process:
        try:
            _, said = process.communicate(given, timeout=PATIENCE)
        except subprocess.TimeoutExpired as error:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise OSError(f"the command has taken {PATIENCE:g} s, and was ended") from error
        if process.returncode:
            why = f": {clip(clean(said), BODY_MAX)}" if clean(said) else ""
            raise OSError(f"the command exited with {process.returncode}{why}")
