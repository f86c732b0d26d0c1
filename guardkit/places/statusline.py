"""The builds of a project in one or two lines: the command `guardkit-statusline`.

Claude Code runs it every two seconds, in each session: so it needs the cheap part of the standard
library alone. Whatever is wrong with what it is given, or with the disk, it ends in a few seconds,
and prints nothing of that.
"""

from __future__ import annotations

import _thread
import gc
import os
import sys
from contextlib import suppress

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any, NoReturn, TypeVar

    from guardkit.monitor.look import Look
    from guardkit.monitor.verdict import Case

    T = TypeVar("T")

NAME = "guardkit-statusline"
USAGE = """usage: guardkit-statusline [--root DIR] [--below COMMAND]

Prints the builds of a project that run, or have just ended, in one or two lines.

  --root DIR       the project's folder; by default as Claude Code tells on standard input,
                   and of a terminal the working folder's
  --below COMMAND  print what another status line prints first
"""
OPTIONS = {"--root", "--below", "--was"}  # the last: for `guardkit statusline --uninstall`
FOLDERS = (  # where Claude Code tells of them
    ("workspace", "project_dir"),
    ("workspace", "current_dir"),
    ("cwd",),
    ("worktree", "original_cwd"),
)
INPUT_MAX = 2**20  # bytes of standard input
PATIENCE = 2.0  # seconds for the input, and for the disk
WIDTH, DIGITS = 80, 5  # cells, where COLUMNS says nothing, or has more digits than that


def main() -> NoReturn:
    """Run the command."""
    gc.disable()  # which, and to take the interpreter down, would cost as much as the look
    try:
        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        code = 130
    os._exit(code)


def run(words: Sequence[str]) -> int:
    """Print the lines for the words of a command line; return the exit code."""
    options = dict(zip(words[::2], words[1::2], strict=False))
    if len(words) % 2 or options.keys() - OPTIONS:
        _write(2, USAGE)
        return 0 if "--help" in words else 2
    root, command = options.get("--root"), options.get("--below")
    given = b"" if root else within(PATIENCE, read_input, b"")
    finish = within(PATIENCE, lambda: _start(command, given), _nothing)
    ours = within(PATIENCE, lambda: tell([root] if root else find_roots(given)), "")
    _write(1, finish() + ours.encode(errors="replace"))
    return 0


def read_input() -> bytes:
    """Return what stands on standard input, or nothing, if that is more than Claude Code writes.

    A terminal counts as a session in the working folder.
    """
    given = b""
    with suppress(OSError):  # it is closed, or a folder
        if os.isatty(0):
            import json

            return json.dumps({"cwd": os.getcwd()}).encode()  # noqa: PTH109 - slow to import
        os.set_blocking(0, True)  # node may hand on a pipe that does not block
        while len(given) <= INPUT_MAX and (more := os.read(0, INPUT_MAX)):
            given += more
    return given if len(given) <= INPUT_MAX else b""


def find_roots(given: bytes) -> list[str]:
    """Return the roots of the project that Claude Code has told of, or none, where it has not.

    In a git worktree there may be builds of the worktree and of the checkout.
    """
    from guardkit.monitor.brief import SPACE, parse
    from guardkit.progress.roots import find_checkout, find_root

    try:
        told = parse(given.decode().strip(SPACE))
    except (ValueError, RecursionError):
        return []
    roots: dict[str, None] = {}
    for path in dict.fromkeys(_text(told, keys) for keys in FOLDERS):
        with suppress(OSError, ValueError):  # it is gone; it has a null byte
            if path.startswith("/"):
                root = find_root(os.path.realpath(path), lambda _: None)
                roots |= {root: None, find_checkout(root): None}
    return [*roots]


def tell(roots: Iterable[str]) -> str:
    """Return the lines for the builds below some roots, with their ends."""
    from guardkit.clock import SYSTEM_CLOCK
    from guardkit.errors import GuardKitError
    from guardkit.monitor.brief import look
    from guardkit.places.footer import footer

    looks: list[Look] = []
    for root in roots:
        with suppress(GuardKitError):  # what stands in place of the builds cannot be read
            looks += [_as_look(*found) for found in look(root).items()]
    colours = not os.environ.get("NO_COLOR")
    lines = footer(looks, SYSTEM_CLOCK.monotonic(), width(), colours=colours)
    return "".join(f"{line}\n" for line in lines)


def width() -> int:
    """Return how many cells a line has: COLUMNS, as Claude Code sets it."""
    told = os.environ.get("COLUMNS", "")
    return int(told) if told.isdecimal() and len(told) <= DIGITS and int(told) else WIDTH


def within(seconds: float, function: Callable[[], T], otherwise: T) -> T:
    """Return what a function returns; `otherwise` if it fails, or takes longer: a mount may hang.

    Nothing waits for the thread that is left behind then.
    """
    answers: list[T] = []
    done = _thread.allocate_lock()
    done.acquire()

    def answer() -> None:
        try:
            answers.append(function())
        except Exception as error:  # a defect of ours, or a system without room
            _write(2, f"{NAME}: {type(error).__name__}: {str(error)!a}\n")
        finally:
            done.release()

    with suppress(RuntimeError):  # no more threads can be had
        _thread.start_new_thread(answer, ())
        done.acquire(timeout=seconds)
    return answers[0] if answers else otherwise


def _start(command: str | None, given: bytes) -> Callable[[], bytes]:
    """Start another status line; return what waits for it, and returns what it has printed."""
    if not command:
        return _nothing
    from guardkit.places import earlier

    other = earlier.Earlier(command, given)

    def finish() -> bytes:
        within(earlier.PATIENCE, other.talk, None)
        return other.printed()

    return finish


def _nothing() -> bytes:
    return b""


def _text(told: Any, keys: Iterable[str]) -> str:
    """Return the text in an object of objects, "" where there is none."""
    for key in keys:
        told = told.get(key) if _is_object(told) else None
    return told if isinstance(told, str) else ""


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _as_look(task_id: str, case: Case) -> Any:
    from types import SimpleNamespace

    snapshot, verdict = case
    return SimpleNamespace(task_id=task_id, snapshot=snapshot, verdict=verdict)


def _write(fd: int, text: str | bytes) -> None:
    from guardkit.progress.folder import write_all

    with suppress(OSError):  # nobody reads it
        write_all(fd, text if isinstance(text, bytes) else text.encode(errors="replace"))


if __name__ == "__main__":
    main()
