"""What lies below `.guardkit` is opened here, and nowhere else.

A repository that was cloned, a Player, or another user of a shared folder may put anything there.
So each level is opened from the one above it, no link is followed, nothing but regular files is
read or written, no open waits for the other end of a pipe, and no read is without a bound.
"""

import errno
import os
import stat
import sys
from contextlib import contextmanager, suppress

from guardkit.progress.paths import BUILDS, HOME

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Self

# O_PATH: the right to search a folder is enough, as it is in a path.
DIRECTORY = os.O_DIRECTORY | os.O_CLOEXEC | (os.O_PATH if sys.platform == "linux" else 0)
REGULAR = os.O_NONBLOCK | os.O_CLOEXEC
LOOKS = 1000  # for a file that seems to be missing, and is in its folder


class Folder:
    """An open directory; what lies in it is reached by its descriptor, and no link is followed.

    path: where it was opened.
    fd: its descriptor; it is closed by `close`, or at the end of a `with` block.

    All methods raise OSError, with the path in `filename`: also for a link (ELOOP).
    """

    __slots__ = ("fd", "path")

    def __init__(self, fd: int, path: str) -> None:
        self.fd = fd
        self.path = path

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the descriptor; a second call does nothing."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def folder(self, name: str, *, make: bool = False) -> "Folder":
        """Return the folder of that name; `make`: make it first, if it is not there."""
        try:
            return Folder(self._open(name, DIRECTORY), self._path(name))
        except FileNotFoundError:
            if not make:
                raise
        with suppress(FileExistsError), self.naming(name):  # another builder may be faster
            os.mkdir(name, dir_fd=self.fd)
        return self.folder(name)

    def file(self, name: str, flags: int = os.O_RDONLY, mode: int = 0o666) -> int:
        """Return a new descriptor of a regular file.

        flags, mode: as for `os.open`, the mode less the umask.
        Raises OSError, also for what is no regular file (EINVAL, or ENXIO).
        """
        return _only_regular(self._open(name, flags | REGULAR, mode), self._path(name))

    def read(self, name: str, size: int, *, tail: bool = False) -> bytes:
        """Return at most `size` bytes of a file: its first, or, for a `tail`, its last.

        A file that is replaced on FUSE may seem to be missing for some milliseconds, though the
        folder has its name: then it is looked for again.
        """
        fd = self._find(name)
        try:
            with self.naming(name):
                start = max(0, os.fstat(fd).st_size - size) if tail else 0
                return read_from(fd, start, size)
        finally:
            os.close(fd)

    def replace(self, name: str, document: bytes) -> None:
        """Make `document` the content of a file, whole, with mode 0666 less the umask.

        `open(path, "w")` shows torn files to readers; a temporary file beside it that takes its
        place never does. Nothing is synced: the page cache survives a killed process. Raises
        OSError; then nothing has changed.
        """
        aside = temporary()
        fd = self._open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC)
        try:
            try:
                write_all(fd, document)
            finally:
                os.close(fd)
            os.replace(aside, name, src_dir_fd=self.fd, dst_dir_fd=self.fd)
        except BaseException:
            with suppress(OSError):
                self.remove(aside)
            with self.naming(name):
                raise

    def ignore(self) -> None:
        """Have git pass over what is in this folder, unless a file of its own tells otherwise."""
        with suppress(OSError):
            try:
                is_told = stat.S_ISREG(self.status(".gitignore").st_mode)
            except FileNotFoundError:
                is_told = False
            if not is_told:  # a link tells git nothing
                self.replace(".gitignore", b"*\n")

    def rename(self, name: str, to: str) -> None:
        """Give a file another name in this folder, whatever file had that before."""
        with self.naming(to):
            os.replace(name, to, src_dir_fd=self.fd, dst_dir_fd=self.fd)

    def remove(self, name: str) -> None:
        """Delete a file, or a link."""
        with self.naming(name):
            os.unlink(name, dir_fd=self.fd)

    def status(self, name: str) -> os.stat_result:
        """Return the status of what has that name; of a link, its own."""
        with self.naming(name):
            return os.stat(name, dir_fd=self.fd, follow_symlinks=False)

    def names(self) -> list[str]:
        """Return the names in the folder, in no order."""
        with Folder(self._open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), self.path) as it:
            return os.listdir(it.fd)

    def is_at(self, root: str | os.PathLike[str]) -> bool:
        """Return whether this folder is that of the builds below `root` now, through no link."""
        home = os.path.join(root, HOME)
        try:
            if stat.S_ISLNK(os.lstat(home).st_mode):
                return False
            return os.path.samestat(os.lstat(os.path.join(home, BUILDS)), os.fstat(self.fd))
        except (FileNotFoundError, NotADirectoryError):
            return False

    @contextmanager
    def naming(self, name: str) -> "Generator[None]":
        """Have an OSError name the path of `name`, which a call by descriptor does not know."""
        try:
            yield
        except OSError as error:
            error.filename = self._path(name)
            del error.filename2  # None would be printed
            raise

    def _find(self, name: str) -> int:
        looks = LOOKS
        while True:
            try:
                return self.file(name)
            except FileNotFoundError:
                looks -= 1
                if not looks or name not in self.names():
                    raise

    def _open(self, name: str, flags: int, mode: int = 0o666) -> int:
        try:
            return os.open(name, flags | os.O_NOFOLLOW, mode, dir_fd=self.fd)
        except OSError as error:
            with self.naming(name):
                refused = error.errno in {errno.ELOOP, errno.ENOTDIR}
                if refused and stat.S_ISLNK(self.status(name).st_mode):
                    words = "it is a link, which guardkit does not follow"
                    raise OSError(errno.ELOOP, words) from None
                raise

    def _path(self, name: str) -> str:
        return f"{self.path}/{name}"


def open_root(root: str | os.PathLike[str]) -> Folder:
    """Return a folder of the user's: links in its path are followed. Raises OSError."""
    return Folder(os.open(root, DIRECTORY), os.fspath(root))


def open_builds(root: str | os.PathLike[str], *, make: bool = False) -> Folder:
    """Return the folder of the builds below `root`; `make`: make it first, if it is not there.

    The root itself must be there: to make it again would break `git worktree remove`. Raises
    OSError.
    """
    with open_root(root) as top, top.folder(HOME, make=make) as home:
        return home.folder(BUILDS, make=make)


def read_file(path: str | os.PathLike[str], size: int) -> bytes:
    """Return at most the first `size` bytes of a file of the user's: links are followed.

    Raises OSError, also for what is no regular file.
    """
    fd = _only_regular(os.open(path, os.O_RDONLY | REGULAR), os.fspath(path))
    try:
        return read_from(fd, 0, size)
    finally:
        os.close(fd)


def temporary() -> str:
    """Return a name for a temporary file that nobody can guess, and so occupy."""
    return f".progress.{os.urandom(8).hex()}.tmp"


def read_from(fd: int, start: int, size: int) -> bytes:
    """Return what a file has from `start` on, at most `size` bytes. Raises OSError.

    A file object would ask the kernel five things more than this, which a watch does a thousand
    times a second.
    """
    text = part = os.pread(fd, size, start)
    while part and len(text) < size:
        part = os.pread(fd, size - len(text), start + len(text))
        text += part
    return text


def write_all(fd: int, document: bytes) -> None:
    """Write all of `document`. Raises OSError: near a full disk after a part of it."""
    done = os.write(fd, document)
    while done < len(document):  # near a full disk, it takes less, without an error
        done += os.write(fd, document[done:])


def _only_regular(fd: int, path: str) -> int:
    """Return the descriptor of a regular file; close any other, and raise OSError."""
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", path)
    except OSError:
        os.close(fd)
        raise
    return fd
