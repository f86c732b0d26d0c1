"""The plugin for Claude Code, and the commands of Claude Code that end by themselves."""

import subprocess
from typing import Any

from .clis import REPOSITORY
from .home import Home

PLUGIN = REPOSITORY / "integrations/claude-code"
TOOL = "mcp__plugin_guardkit_builds__"  # begins the names of its tools
PROMPT = "(?m)^\N{HEAVY RIGHT-POINTING ANGLE QUOTATION MARK ORNAMENT}"


def claude(home: Home, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command of Claude Code to its end, in the project."""
    return subprocess.run(
        home.claude(*words),
        **{"cwd": home.project, **options},
        env=home.env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def install(home: Home) -> None:
    """Install the plugin, as the README says."""
    ended = claude(home, "plugin", "install", "guardkit", "--marketplace", "./", cwd=REPOSITORY)
    assert ended.returncode == 0, ended.stdout + ended.stderr
