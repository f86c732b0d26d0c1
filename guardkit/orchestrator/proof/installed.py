"""Files of installed packages in a virtual environment, by what the packages themselves record."""

import csv
import os
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from guardkit.progress.folder import read_file

MAX_BYTES = 2**28  # of a file, and of what a package records of its files
BY_VENV = "_virtualenv.py"  # is put there by virtualenv and uv, and recorded by nobody


def find_installed(folder: Path, paths: Iterable[str]) -> set[str]:
    """Return which paths in a folder are of packages, and as they were installed."""
    recorded = dict[Path, dict[str, str]]()
    found = set[str]()
    for path in paths:
        home = _environment(folder, Path(path).parent)
        if home is None:
            continue
        if home not in recorded:
            recorded[home] = _recorded(folder / home)
        whole = os.path.normpath(folder / path)
        if _is_as_recorded(whole, recorded[home].get(whole, "")):
            found.add(path)
    return found


def _environment(folder: Path, near: Path) -> Path | None:
    """Return the virtual environment that a folder is in, None where it is in none."""
    places = (each for each in (near, *near.parents) if (folder / each / "pyvenv.cfg").is_file())
    return next(places, None)


def _recorded(home: Path) -> dict[str, str]:
    """Return the hash of each file that the packages of a virtual environment record."""
    found = dict[str, str]()
    for record in home.glob("lib*/python*/site-packages/*.dist-info/RECORD"):
        site = record.parent.parent
        with suppress(OSError, UnicodeDecodeError, csv.Error):
            rows = csv.reader(read_file(record, MAX_BYTES).decode().splitlines())
            found |= {os.path.normpath(site / row[0]): row[1] for row in rows if len(row) > 1}
    return found


def _is_as_recorded(path: str, recorded: str) -> bool:
    if Path(path).name == BY_VENV:
        return True
    with suppress(OSError):
        digest = sha256(read_file(Path(path).resolve(), MAX_BYTES)).digest()
        return recorded == f"sha256={urlsafe_b64encode(digest).decode().rstrip('=')}"
    return False
