"""The journal: one JSON object a line for each transition, the history that the file forgets."""

import errno
import os
from collections import deque

SIZE_MAX = 4 * 2**20


def append(path: str, lines: deque[bytes]) -> None:
    """Move `lines` to the end of the file, one write each; a half line before them is ended.

    A file past 4 MiB becomes `{path}.1`. Raises OSError; what is not written stays in `lines`.
    """
    if not lines:
        return
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
    try:
        size = os.fstat(fd).st_size
        if size and os.pread(fd, 1, size - 1) != b"\n":
            os.write(fd, b"\n")
        while lines:
            if os.write(fd, lines[0]) < len(lines[0]):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
            lines.popleft()
    finally:
        os.close(fd)
    if size > SIZE_MAX:
        os.replace(path, f"{path}.1")
