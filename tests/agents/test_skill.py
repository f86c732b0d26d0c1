"""The skill /feature-build, in the real Claude Code: a build from its start to the report."""

from pathlib import Path
from shlex import quote

import pytest

from guardkit import read_progress
from guardkit.orchestrator.demo import TASK_ID, TEST, make_demo
from guardkit.progress.paths import build_dir

from .api import Api, Say, Use
from .conftest import OpenScreen
from .home import Home
from .plugin import PROMPT, TOOL, install


@pytest.fixture
def project(folder: Path) -> Path:
    """The repository of the demo, whose task takes two turns."""
    return make_demo(folder / "shop")


def test_a_task_is_built_followed_and_reported(
    home: Home, api: Api, project: Path, open_screen: OpenScreen
) -> None:
    home.allow()  # but for what the skill itself allows
    install(home)
    command = f"guardkit autobuild task {TASK_ID} --player 'PAUSE=1 sh player.sh'"
    command += f" --test {quote(TEST)} --detach"
    api.enqueue(
        Use("Bash", {"command": command, "description": "Start the build"}),
        Use(f"{TOOL}watch_build", {"task_id": TASK_ID, "until": "trouble"}),
        Say("The build has begun."),
        Use("Read", {"file_path": f"{build_dir(project, TASK_ID)}/output.log"}),
        Say("It is yours to merge."),
    )
    screen = open_screen(home.claude())
    screen.wait_for(PROMPT)
    screen.type(f"/feature-build {TASK_ID}")
    screen.wait_for("The build has begun")
    screen.wait_for("It is yours to merge")
    assert f"Build `{TASK_ID}` with guardkit" in api.told()
    assert "completed: ended after" in api.told()
    started, _, log = api.tool_results()
    run = read_progress(TASK_ID, root=project).tracker.run_id
    assert started == f'"{run}"'
    assert "Turn 2 of 5" in log
