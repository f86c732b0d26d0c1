"""The files of the plugin for Claude Code say what is there; `tox -e agents` runs them for real."""

import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest

import guardkit
from guardkit.cli.main import make_parser
from guardkit.monitor.verdict import RANKS
from guardkit.places.mcp.tools import TOOLS
from guardkit.places.until import UNTIL

REPOSITORY = Path(__file__).parents[2]
PLUGIN = REPOSITORY / "integrations/claude-code"
SKILL = (PLUGIN / "skills/feature-build/SKILL.md").read_text()
MOD = (PLUGIN / "hooks/builds.js").read_text()


def read(path: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((REPOSITORY / path).read_bytes())
    return content


MANIFEST = read("integrations/claude-code/.claude-plugin/plugin.json")
SERVERS = read("integrations/claude-code/.mcp.json")["mcpServers"]


def scripts() -> set[str]:
    """Return the commands that an installed guardkit has."""
    return {*tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["scripts"]}


def test_its_version_is_that_of_guardkit() -> None:
    assert MANIFEST["version"] == guardkit.__version__


def test_the_marketplace_has_it() -> None:
    [listed] = read(".claude-plugin/marketplace.json")["plugins"]
    assert listed["name"] == MANIFEST["name"] == "guardkit"
    assert REPOSITORY / listed["source"] == PLUGIN


def test_its_module_and_its_commands_are_there() -> None:
    hooks = read("integrations/claude-code/hooks/hooks.json")
    [module] = hooks["modules"]
    assert hooks["hooks"] == {}  # without which older versions load none of the plugin
    assert (PLUGIN / "hooks" / module).read_text() == MOD
    [asked] = re.findall(r'(?m)^const COMMAND = "(.*)"', MOD)
    [(server, started)] = SERVERS.items()
    assert {asked, started["command"]} == scripts()
    assert started["args"] == ["mcp"]
    assert server == "builds"


def test_the_skill_may_use_tools_that_there_are() -> None:
    [allowed] = re.findall(r"(?m)^allowed-tools: (.*)", SKILL)
    begin = f"mcp__plugin_{MANIFEST['name']}_{next(iter(SERVERS))}__"
    tools = {each for each in allowed.split(", ") if not each.startswith("Bash(")}
    assert tools == {f"{begin}{tool['name']}" for tool in TOOLS}
    assert set(re.findall(r"`(\w+_builds?)`", SKILL)) <= {tool["name"] for tool in TOOLS}
    assert set(re.findall(r'`until: "(\w+)"`', SKILL)) <= {*UNTIL}


def test_the_skill_starts_builds_by_options_that_there_are() -> None:
    task, feature = re.findall(r"(?m)^ {4}(guardkit .*)", SKILL)
    for command in (task, feature):
        words = [*shlex.split(command)[1:], "--test", "x", "--max-turns", "3"]
        found, rest = make_parser().parse_known_args(words)
        assert not rest
        assert (found.player, found.detach) == ("COMMAND", True)
        built = found.task_id if command is task else found.feature_id
        assert built == ("TASK-ID" if command is task else "FEAT-ID")


def test_the_skill_knows_what_to_do_after_each_verdict() -> None:
    rows = re.findall(r"(?m)^\| ([a-z, ]+) \|", SKILL)[1:]
    told = {state for row in rows for state in row.split(", ")}
    assert told == {*RANKS, "completed", "failed", "cancelled", "unreadable"} - {"running"}


@pytest.mark.parametrize("name", ["claude-code", "codex"])
def test_a_screen_in_the_readme_is_one_that_was_kept(name: str) -> None:
    kept = (REPOSITORY / f"docs/screens/{name}.txt").read_text().strip("\n")
    assert f"```\n{kept}\n```\n" in (REPOSITORY / "README.md").read_text()
