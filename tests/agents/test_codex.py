"""The footer of the real Codex, drawn from `guardkit mcp`."""

import os
import subprocess
from pathlib import Path

from .api import Api, Say, Use
from .builds import PLACE, building
from .conftest import OpenScreen
from .home import Home

FOOTER = """
[features]
tui_extensions_statusline = true

[tui]
status_line_provider = { server = "guardkit", tool = "list_builds" }
"""


def install(home: Home) -> None:
    """Set the footer up, as the README says."""
    added = home.codex("mcp", "add", "guardkit", "--", "guardkit", "mcp")
    subprocess.run(added, cwd=home.project, env=home.env, check=True, timeout=60)
    with (home.path / ".codex/config.toml").open("a") as settings:
        settings.write(FOOTER)


def test_the_footer_shows_how_a_build_is_while_codex_works(
    home: Home, api: Api, project: Path, open_screen: OpenScreen
) -> None:
    install(home)
    os.mkfifo(project / "gate")
    (project / "check.sh").write_text("echo 42 files to check; read line < gate\n")
    api.enqueue(Use("exec_command", {"cmd": "sh check.sh", "yield_time_ms": 30_000}))
    api.enqueue(Say("All is well."))
    screen = open_screen(home.codex(), lines=14)
    with building(project) as builder:
        screen.wait_for(rf"running: {PLACE}")
        screen.type("Check the types, please")
        screen.wait_for(rf"Working \([4-9]s(?s:.)*running: {PLACE}")
        screen.keep("codex", without=project)
        builder.kill()
        screen.wait_for(rf"crashed: {PLACE}")
    (project / "gate").write_text("go on\n")
    screen.wait_for("All is well")
