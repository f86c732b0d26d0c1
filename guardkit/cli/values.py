"""What stands after an option: from a word to a value. No message repeats the word.

What follows an option may be a login that was put there by mistake, and errors end up in logs.
"""

from __future__ import annotations

import os
import re
from argparse import ArgumentTypeError
from contextlib import suppress
from itertools import pairwise

from guardkit.cli.streams import complain
from guardkit.errors import nearest
from guardkit.progress.paths import is_run_id, is_task_id
from guardkit.progress.roots import find_root

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeVar

    N = TypeVar("N", int, float)

SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


class Unsaid(str):
    """A word that stands where a login may have been meant: no message repeats it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "a word that may be a login"

    def __format__(self, form: str, /) -> str:
        return repr(self)

    __str__ = __repr__


def split_urls(words: Iterable[str]) -> list[str]:
    """Return words with an empty URL after each `--nats` that has none.

    A URL has a colon; without one, the word after `--nats` is an id, or whatever is next. The words
    from `--` on are those of another program.
    """
    found: list[str] = []
    for word in words:
        if "--" in found:
            found.append(word)
            continue
        after_nats = bool(found) and found[-1] == "--nats="
        if after_nats and (":" in word or not word):
            found[-1] = f"--nats={word}"
        elif after_nats and not word.startswith("-"):
            found.append(Unsaid(word))
        else:
            found.append("--nats=" if word == "--nats" else word)
    return found


def guarded(word: str) -> str:
    """Return a word, so that no message repeats it if it looks like a login."""
    return Unsaid(word) if "@" in word else word


def unsaid(words: Iterable[str]) -> set[str]:
    """Return which words of a command line follow an option."""
    return {word for before, word in pairwise(words) if before.startswith("-")}


def at_least(least: N) -> Callable[[str], N]:
    """Return what reads a number of the type of `least`, and refuses NaN and what is below it."""

    def read(text: str) -> N:
        with suppress(ValueError):
            if (number := type(least)(text)) >= least:
                return number
        kind = "whole number" if isinstance(least, int) else "number"
        raise ArgumentTypeError(f"a {kind} from {least:g} up is wanted")

    return read


def seconds_from(least: float) -> Callable[[str], float]:
    """Return what reads a duration, `90`, `90s`, `2m`, `1h` or `1d`, of `least` seconds."""

    def read(text: str) -> float:
        found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([smhd]?)", text, re.ASCII)
        if found and (seconds := float(found[1]) * SECONDS[found[2]]) >= least:
            return seconds
        more = f" of {least:g}s at least" if least else ""
        raise ArgumentTypeError(f"a duration{more} is wanted, such as 90, 90s, 2m or 1h")

    return read


def one_of(*words: str) -> Callable[[str], str]:
    """Return what takes one of some words."""

    def read(text: str) -> str:
        if text in words:
            return text
        wanted = f"{', '.join(words[:-1])} or {words[-1]}"
        raise ArgumentTypeError(f"{wanted} is wanted{nearest(text, words)}")

    return read


def run_id(text: str) -> str:
    """Return what names a run."""
    if is_run_id(text):
        return text
    raise ArgumentTypeError("a run is named by 16 hexadecimal digits, as --detach prints them")


def port(text: str) -> int:
    """Return the number of a port; 0 stands for any that is free."""
    with suppress(ValueError):
        if int(text) in range(2**16):
            return int(text)
    raise ArgumentTypeError("a port is a number from 0 to 65535")


def project(text: str) -> str:
    """Return the name of a project, `""`: none."""
    if not text or is_task_id(text):
        return text
    raise ArgumentTypeError("the name of a project has letters, digits, '.', '_' and '-' alone")


def root(text: str) -> str:
    """Return the folder that is given; `""` stands for the nearest one upwards that is a root."""
    try:
        return text or find_root(os.getcwd(), complain)  # noqa: PTH109 - pathlib is slow to import
    except FileNotFoundError:
        raise ArgumentTypeError("the working folder is gone: give that of the project") from None


def url(text: str) -> str:
    """Return a URL that all users of the machine may see, as they see all command lines."""
    if "@" in text:
        raise ArgumentTypeError(
            "a login does not belong on a command line: set NATS_URL, or NATS_CREDS, NATS_USER and "
            "NATS_PASSWORD, or NATS_TOKEN, or select a context of the nats command"
        )
    if text and ":" not in text:
        raise ArgumentTypeError("a URL is wanted, such as nats://HOST, or none")
    return text
