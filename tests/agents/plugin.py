"""The plugin for Claude Code, and the commands of Claude Code that end by themselves."""

import subprocess

from .clis import REPOSITORY
from .home import Home

PLUGIN = REPOSITORY / "integrations/claude-code"
WATCH = "mcp__plugin_guardkit_builds__watch_build"
PROMPT = r"(?m)^❯"


def claude(home: Home, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of Claude Code in the project to its end."""
    return subprocess.run(
        home.claude(*words),
        cwd=home.project,
        env=home.env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def install(home: Home) -> None:
    """Install the plugin, as the README says."""
    ended = claude(home, "plugin", "install", "guardkit", "--marketplace", str(REPOSITORY))
    assert ended.returncode == 0, ended.stdout + ended.stderr
