"""A text file of the user's that we change: it is shown, and replaced whole."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager, suppress
from difflib import unified_diff
from pathlib import Path

from guardkit.errors import InvalidSettingsError
from guardkit.progress.folder import read_file, temporary, write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

SIZE_MAX = 2**20  # bytes


def find(folder: str | Path, name: str) -> Path:
    """Return the path of a file, that of its target for a link, which so stays one."""
    return Path(os.path.realpath(Path(folder, name)))


def read(path: Path) -> str | None:
    """Return the text of a file, None where there is none.

    Raises InvalidSettingsError, and OSError, also for what is no regular file.
    """
    try:
        content = read_file(path, SIZE_MAX + 1)
    except FileNotFoundError:
        return None
    with naming(path):
        if len(content) > SIZE_MAX:
            raise InvalidSettingsError("it is too large")
        try:
            return content.decode()
        except UnicodeDecodeError:
            raise InvalidSettingsError("it is not UTF-8") from None


@contextmanager
def naming(path: Path) -> Generator[None]:
    """Have an InvalidSettingsError name the file, and what to do."""
    try:
        yield
    except InvalidSettingsError as error:
        raise InvalidSettingsError(f"{path}: {error}, and is left as it is; mend it") from None


def diff(path: Path, before: str | None, after: str | None) -> str:
    """Return the lines that change, without their neighbours: these may be secrets."""
    old, new = ((text or "").expandtabs(4).splitlines() for text in (before, after))
    was, is_now = ("/dev/null" if text is None else str(path) for text in (before, after))
    return "\n".join(unified_diff(old, new, was, is_now, n=0, lineterm=""))


def write(path: Path, text: str | None) -> None:
    """Make a text the content of a file at one instant, None: remove it. Raises OSError.

    Mode and owner stay, as far as we may.
    """
    if text is None:
        path.unlink()
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    before = path.stat() if path.exists() else None
    aside = path.with_name(temporary())
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    fd = os.open(aside, flags, 0o600 if before else 0o666)
    try:
        try:
            if before:
                with suppress(PermissionError):
                    os.fchown(fd, before.st_uid, before.st_gid)
                os.fchmod(fd, stat.S_IMODE(before.st_mode))
            write_all(fd, text.encode())
            os.fsync(fd)
        finally:
            os.close(fd)
        aside.replace(path)
    except BaseException:
        with suppress(OSError):
            aside.unlink()
        raise
