"""A home for agents: their settings and environment, and nothing of who runs the tests."""

import json
import os
import sys
from pathlib import Path

from .clis import CLAUDE, CODEX

KEY = "not-a-key"


class Home:
    """A folder in which agents find their settings, all of them for the stand-in API.

    path: the folder. env: the environment of what is started; the guardkit that is tested is on
    its PATH. project: the folder in which agents may work.
    """

    def __init__(self, path: Path, project: Path, api: str) -> None:
        self.path, self.project = path, project
        self.env = {
            "HOME": str(path),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "LANG": "C.UTF-8",
            "ANTHROPIC_BASE_URL": api,
            "ANTHROPIC_API_KEY": KEY,
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "CLAUDE_CODE_MAX_RETRIES": "1",
            "DISABLE_AUTOUPDATER": "1",
            "STAND_IN_KEY": KEY,
        }
        if "PYTHONPATH" in os.environ:
            self.env["PYTHONPATH"] = os.environ["PYTHONPATH"]
        path.mkdir()
        self._set_up_claude()
        self._set_up_codex(api)

    def claude(self, *words: str) -> list[str]:
        """Return a command of Claude Code."""
        return [str(CLAUDE.path), *words]

    def allow(self, *tools: str) -> None:
        """Have Claude Code ask before it uses tools, but for these, and for edits."""
        permissions = {
            "defaultMode": "acceptEdits",
            "disableAutoMode": "disable",  # in which a model is asked about each tool
            "allow": tools,
        }
        settings = self.path / ".claude/settings.json"
        settings.write_text(json.dumps({"permissions": permissions}))

    def codex(self, *words: str) -> list[str]:
        """Return a command of Codex, which leaves no server behind."""
        return [str(CODEX.path), "--disable", "daemon_auto_start", *words]

    def _set_up_claude(self) -> None:
        known = {
            "hasCompletedOnboarding": True,
            "theme": "dark",
            "customApiKeyResponses": {"approved": [KEY], "rejected": []},
            "projects": {str(self.project): {"hasTrustDialogAccepted": True}},
        }
        (self.path / ".claude.json").write_text(json.dumps(known))
        (self.path / ".claude").mkdir()
        self.allow("Bash", "mcp__plugin_guardkit_builds")

    def _set_up_codex(self, api: str) -> None:
        (self.path / ".codex").mkdir()
        (self.path / ".codex/config.toml").write_text(f"""\
model = "stand-in"
model_provider = "stand-in"
check_for_update_on_startup = false

[sandbox_workspace_write]
exclude_slash_tmp = true  # where it would leave an empty .git

[model_providers.stand-in]
name = "stand-in"
base_url = "{api}/v1"
wire_api = "responses"
env_key = "STAND_IN_KEY"

[projects."{self.project}"]
trust_level = "trusted"
""")
