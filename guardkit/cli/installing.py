"""The command that puts our status line into the settings of Claude Code, and takes it out."""

from __future__ import annotations

import os
import sys

from guardkit.errors import MisuseError

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from pathlib import Path

    from guardkit.cli.parser import Commands, Parser

ONE_OF = "give --install or --uninstall; see guardkit statusline --help"


def add_commands(commands: Commands) -> None:
    """Declare the command."""
    commands.add("statusline", statusline, _declare_statusline)


def _declare_statusline(command: Parser) -> None:
    command.add_flag("--install", about="Put it in.")
    command.add_flag("--uninstall", about="Put back what was there before.")
    about = "Change the settings of the project, which its repository may share, instead of yours."
    command.add_flag("--project", about=about)
    command.add_root()


def statusline(*, install: bool, uninstall: bool, project: bool, root: str) -> None:
    """Show the builds of a project below the prompt of Claude Code.

    Its status line, the command guardkit-statusline, is put into the settings, or taken out; the
    change is printed. All else in them stays as it is, and another status line that is there is
    called, and shown above ours.
    """
    from guardkit.places import claude_settings, user_file

    if install == uninstall:
        raise MisuseError(ONE_OF)
    path = user_file.find(f"{root}/.claude" if project else _user_folder(), "settings.json")
    before = user_file.read(path)
    after = before
    with user_file.naming(path):
        if install:
            after = claude_settings.install(before, _program(project=project))
        elif before is not None:
            after = claude_settings.uninstall(before)
    if after == before:
        print(f"{path}: {'it is there already' if install else 'there is nothing to take out'}")
        return
    print(user_file.diff(path, before, after), flush=True)
    user_file.write(path, after)


def _user_folder() -> Path:
    """Return the folder of the user's settings."""
    from pathlib import Path

    return Path(os.environ.get("CLAUDE_CONFIG_DIR") or "~/.claude").expanduser()


def _program(*, project: bool) -> str:
    """Return our command in the words of a shell.

    For the user that beside this one, which is found in sessions without this environment, too; for
    a project that of each member's PATH.
    """
    from pathlib import Path
    from shlex import quote

    from guardkit.places.statusline import NAME

    beside = Path(sys.argv[0]).absolute().with_name(NAME)
    return quote(str(beside)) if beside.exists() and not project else NAME
