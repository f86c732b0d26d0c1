"""What drives the real agents: a home, a stand-in API, terminals. See `tox -e agents`."""

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from .api import Api
from .clis import lacks
from .home import Home
from .plugin import PLUGIN
from .screen import Screen

OpenScreen = Callable[..., Screen]


@pytest.fixture(autouse=True, scope="session")
def agents() -> None:
    """Skip all where the agents are not there."""
    if why := lacks():
        pytest.skip(why)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path: the socket of tmux is in it, and people read it on screens."""
    # What an agent has started may write for some time after it.
    with tempfile.TemporaryDirectory(prefix="guardkit-agents-", ignore_cleanup_errors=True) as path:
        yield Path(path).resolve()


@pytest.fixture
def api() -> Iterator[Api]:
    with Api() as api:
        yield api


@pytest.fixture
def project(folder: Path) -> Path:
    """An empty repository."""
    subprocess.run(("git", "init", "-q", str(folder / "shop")), check=True)
    return folder / "shop"


@pytest.fixture
def home(folder: Path, project: Path, api: Api) -> Home:
    return Home(folder / "home", project, api.url)


@pytest.fixture
def plugin(folder: Path) -> Path:
    """A copy of the plugin, as Claude Code writes its types beside what it loads from a folder."""
    return Path(shutil.copytree(PLUGIN, folder / "plugin"))


@pytest.fixture
def open_screen(folder: Path, home: Home) -> Iterator[OpenScreen]:
    """Run commands in the project, each on a terminal of its own."""
    numbers = count()
    with ExitStack() as screens:

        def open_screen(command: list[str], **options: Any) -> Screen:
            place = folder / f"screen-{next(numbers)}"
            screen = Screen(place, command, cwd=home.project, **({"env": home.env} | options))
            screens.callback(screen.close)
            return screen

        yield open_screen
