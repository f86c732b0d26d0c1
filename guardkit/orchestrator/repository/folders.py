"""Folders of any depth: looked through, and deleted.

What is in a folder is reached by its descriptor: a path costs its depth each time, and has a bound.
"""

import os
from collections.abc import Iterator
from contextlib import suppress

from guardkit.progress.folder import Folder, temporary

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
DEEP = 100  # levels, for each of which a descriptor is open

Entry = os.DirEntry[str]


def walk(top: str) -> Iterator[tuple[str, list[Entry] | OSError]]:
    """Yield folders, and what is in each in the order of names, or why that cannot be seen.

    A folder is given by its path relative to `top`, with a slash at its end; "" is `top` itself.
    Entries that are taken out of the list are not looked into. They can be asked for what they are
    until the next folder is asked for.
    """
    below = [""]
    while below:
        at = below.pop()
        try:
            fd = os.open(f"{top}/{at}", DIRECTORY)
        except OSError as error:
            yield at, error
            continue
        try:
            with os.scandir(fd) as found:
                entries = sorted(found, key=lambda entry: entry.name)
            yield at, entries
            folders = [each.name for each in entries if each.is_dir(follow_symlinks=False)]
        finally:
            os.close(fd)
        below += (f"{at}{name}/" for name in reversed(folders))


def remove(folder: Folder, name: str) -> None:
    """Remove whatever the Player has made of a file: a fifo, a link, a folder.

    A folder gets another name first, as what is in it may forbid to be removed.
    Raises OSError.
    """
    try:
        folder.remove(name)
    except FileNotFoundError:
        pass
    except OSError:  # Linux and macOS do not agree on which
        aside = temporary()
        folder.rename(name, aside)
        with suppress(OSError):
            delete(aside, folder.fd)


def delete(name: str, dir_fd: int) -> None:
    """Delete a folder; raises OSError. What lies deep in it is moved to its top before."""
    fd = os.open(name, DIRECTORY, dir_fd=dir_fd)
    try:
        while _list(fd):
            _empty(fd, fd)
    finally:
        os.close(fd)
    os.rmdir(name, dir_fd=dir_fd)


def _empty(fd: int, top: int, depth: int = 0) -> None:
    """Delete what is in a folder, but move folders that are too deep to the top."""
    for entry in _list(fd):
        if not entry.is_dir(follow_symlinks=False):
            os.unlink(entry.name, dir_fd=fd)
        elif depth == DEEP:
            os.rename(entry.name, temporary(), src_dir_fd=fd, dst_dir_fd=top)
        else:
            inner = os.open(entry.name, DIRECTORY, dir_fd=fd)
            try:
                _empty(inner, top, depth + 1)
            finally:
                os.close(inner)
            os.rmdir(entry.name, dir_fd=fd)


def _list(fd: int) -> list[Entry]:
    with os.scandir(fd) as found:
        return [*found]
