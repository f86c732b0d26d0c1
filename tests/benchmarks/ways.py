"""Ways to write a progress file: in C, by bare calls, as first sketched, by aiofiles."""

import ctypes
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import aiofiles
import aiofiles.os

_numbers = count()


def temporary_in(folder: Path | str) -> str:
    """Return a name that is free."""
    return f"{folder}/.progress.{next(_numbers)}.tmp"


def compile_floor(into: Path) -> Callable[[Path, bytes, int], float] | None:
    """Compile the writer in C; return it as a function, in seconds for a write; None without cc."""
    if not shutil.which("cc"):
        return None
    source, library = Path(__file__).with_name("floor.c"), into / "floor.so"
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
    replace = ctypes.CDLL(str(library)).replace
    replace.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int]
    replace.restype = ctypes.c_longlong

    def write(folder: Path, document: bytes, times: int) -> float:
        nanoseconds: int = replace(bytes(folder), document, len(document), times)
        if nanoseconds < 0:
            raise OSError(-nanoseconds, os.strerror(-nanoseconds))
        return nanoseconds / 1e9 / times

    return write


def bare(path: str, document: bytes, temporary: str) -> None:
    """Replace a file by the calls of `os` alone."""
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    os.write(fd, document)
    os.close(fd)
    os.replace(temporary, path)


def bare_append(path: str, line: bytes) -> None:
    """Append a line by the calls of `os` alone."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
    os.write(fd, line)
    os.close(fd)


def sample(root: Path, task_id: str, data: dict[str, Any]) -> None:
    """Write as the sample code of the original task does, faults included."""
    progress_dir = root / ".guardkit" / "autobuild" / task_id
    progress_dir.mkdir(parents=True, exist_ok=True)
    progress_file = progress_dir / "progress.json"
    data["updated_at"] = datetime.now().isoformat() + "Z"  # noqa: DTZ005 - one of them
    with tempfile.NamedTemporaryFile(
        mode="w", dir=progress_dir, suffix=".tmp", delete=False
    ) as tmp:
        json.dump(data, tmp, indent=2)
        tmp_path = tmp.name
    shutil.move(tmp_path, progress_file)


async def call_by_call(path: str, document: bytes, temporary: str) -> None:
    """Replace a file with a hop to a thread for each call."""
    async with aiofiles.open(temporary, "wb") as file:
        await file.write(document)
    await aiofiles.os.replace(temporary, path)


async def append_call_by_call(path: str, line: bytes) -> None:
    """Append a line with a hop to a thread for each call."""
    async with aiofiles.open(path, "ab") as file:
        await file.write(line)
