"""The plugin for Claude Code, as the real Claude Code checks, installs, draws and removes it."""

import os
import re
from pathlib import Path

import pytest

from .api import Api, Say, Use
from .builds import PLACE, TASK_ID, building
from .clis import REPOSITORY
from .conftest import OpenScreen
from .home import Home
from .plugin import PLUGIN, PROMPT, claude, install

LINE = rf"running: {PLACE}"


@pytest.mark.parametrize("what", [REPOSITORY, PLUGIN], ids=["marketplace", "plugin"])
def test_it_is_valid(home: Home, what: Path) -> None:
    ended = claude(home, "plugin", "validate", "--strict", str(what))
    assert ended.returncode == 0, ended.stdout
    assert "Validation passed" in ended.stdout


def test_its_own_tests_pass(home: Home, plugin: Path) -> None:
    ended = claude(home, "plugin", "test", str(plugin))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert re.search(r"(?m)^ *[1-9]\d* pass$", ended.stdout + ended.stderr)


def test_a_build_is_drawn_below_the_prompt_while_a_tool_runs(
    home: Home, api: Api, project: Path, open_screen: OpenScreen
) -> None:
    install(home)
    os.mkfifo(project / "gate")
    (project / "check.sh").write_text("echo 42 files to check; read line < gate\n")
    api.enqueue(Use("Bash", {"command": "sh check.sh", "description": "Check the types"}))
    api.enqueue(Say("All is well."))
    screen = open_screen(home.claude(), lines=20)
    screen.wait_for(PROMPT)
    with building(project) as builder:
        screen.wait_for(rf"{LINE} - 8 of 9 tests passing, \$3\.40")
        screen.type("Check the types, please")
        screen.wait_for(r"\$ sh check\.sh.*\([5-9]s")
        screen.wait_for(LINE)
        screen.keep("claude-code", without=project)
        builder.kill()
        crashed = screen.wait_for(rf"crashed: {PLACE}.*\n *(.*)")
        assert crashed[1].startswith(f"process {builder.pid} on ")
        screen.keep("claude-code-crashed", without=project)
    (project / "gate").write_text("go on\n")
    screen.wait_for("All is well")


def test_it_is_clean_when_it_is_uninstalled(
    home: Home, project: Path, open_screen: OpenScreen
) -> None:
    home.allow()
    settings = home.path / ".claude/settings.json"
    install(home)
    assert "guardkit" in settings.read_text()
    for words in (("uninstall", "guardkit"), ("marketplace", "remove", "guardkit")):
        assert claude(home, "plugin", *words).returncode == 0
    assert "guardkit" not in settings.read_text()
    assert "guardkit" not in claude(home, "plugin", "list").stdout
    listed = claude(home, "mcp", "list").stdout
    assert "guardkit" not in listed
    with building(project):
        screen = open_screen(home.claude())
        screen.wait_for(PROMPT)
        screen.type("Hello")
        screen.wait_for("There is nothing more to say")
        assert TASK_ID not in screen.text()
