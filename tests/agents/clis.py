"""The agents that are driven for real: pinned, from npm, in a folder of their own.

Run: python -m tests.agents.clis   installs what is missing, and prints the versions.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("GUARDKIT_AGENTS") or REPOSITORY / ".tox/agents-npm")


class Cli(NamedTuple):
    """An agent: its command, and the package of npm that has it."""

    command: str
    package: str
    version: str

    @property
    def path(self) -> Path:
        """The program, which may be missing."""
        return FOLDER / "node_modules" / ".bin" / self.command

    def installed(self) -> str:
        """Return which version is installed, "" for none."""
        about = FOLDER / "node_modules" / self.package / "package.json"
        return str(json.loads(about.read_bytes())["version"]) if about.exists() else ""


CLAUDE = Cli("claude", "@anthropic-ai/claude-code", "2.1.332")
CODEX = Cli("codex", "@openai/codex", "0.171.0")
GEMINI = Cli("gemini", "@google/gemini-cli", "0.61.0")
CLIS = (CLAUDE, CODEX, GEMINI)


def lacks() -> str:
    """Return what the tests need and this machine lacks, "" if nothing."""
    for program, remedy in (("tmux", "apt-get install tmux"), ("npm", "install Node.js")):
        if not shutil.which(program):
            return f"{program} is missing: {remedy}"
    missing = [cli.command for cli in CLIS if cli.installed() != cli.version]
    if missing:
        return f"not installed: {', '.join(missing)}: run python -m tests.agents.clis"
    return ""


def install() -> None:
    """Install what is missing; other versions than these are replaced."""
    wanted = [f"{cli.package}@{cli.version}" for cli in CLIS if cli.installed() != cli.version]
    if wanted:
        FOLDER.mkdir(parents=True, exist_ok=True)
        command = ("npm", "install", "--no-audit", "--no-fund", "--save-exact", *wanted)
        subprocess.run((*command, "--prefix", str(FOLDER)), check=True)


if __name__ == "__main__":
    if shutil.which("npm"):
        install()
    for each in CLIS:
        print(f"{each.package} {each.installed() or 'is not installed'}", flush=True)
    print(lacks() or f"in {FOLDER}")
