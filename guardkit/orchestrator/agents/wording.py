"""Tool calls in words, such as `Edit src/prices.py` and `Bash: pytest -q`."""

import os
import re
from pathlib import Path

from guardkit.orchestrator.agents.fields import text
from guardkit.orchestrator.proof.outcomes import line_of

COMMAND_MAX = 1000  # characters of a command that are looked at
SHELL = re.compile(r"\S{0,100}sh -l?c (['\"]?)")  # what Codex hands a command to
ESCAPED = {'"': re.compile(r'\\(["\\$`])'), "'": re.compile(r"'\\(')'")}  # within such quotes
SAID_BY = ("command", "pattern", "query", "url")  # what a tool is given, the most telling first
PATHS = ("file_path", "notebook_path", "path", "filePath")
ELSE_SAID_BY = ("description", "subject", "skill", "prompt")


class Root:
    """The folder in which an agent works, under the name it was given and under its real one."""

    def __init__(self, path: Path | str) -> None:
        self._real = os.path.realpath(path)
        self._names = (self._real, os.path.abspath(path))  # noqa: PTH100 - as it is written

    def short(self, path: str) -> str:
        """Return a path relative to the folder, if it lies there; else as it is."""
        for name in self._names:
            if path.startswith(f"{name}{os.sep}"):
                return path[len(name) + 1 :]
        return "." if path in self._names else path

    def shorten(self, command: str) -> str:
        """Return a command without the folder's name in front of what lies there."""
        for name in self._names:
            command = command.replace(f"{name}{os.sep}", "")
            command = re.sub(rf"{re.escape(name)}(?![\w.-])", ".", command)
        return command

    def holds(self, path: str) -> bool:
        """Return whether a path leads into the folder, wherever its links lead to."""
        if path.startswith("~") or "\0" in path:
            return False
        real = os.path.realpath(os.path.join(self._real, path))  # noqa: PTH118 - may be absolute
        return real == self._real or real.startswith(f"{self._real.rstrip(os.sep)}{os.sep}")


def tool_line(tool: str, given: object, root: Root) -> str:
    """Return a tool call in one plain line: the tool, and what of its arguments tells most."""
    name = tool.removeprefix("mcp__").replace("__", ".") if tool.startswith("mcp__") else tool
    said = [text(given, key) for key in SAID_BY]
    paths = [text(given, key) for key in PATHS]
    other = [text(given, key) for key in ELSE_SAID_BY]
    if any(said):
        return line_of(f"{name}: {root.shorten(next(filter(None, said))[:COMMAND_MAX])}")
    if any(paths):
        return line_of(f"{name} {root.short(next(filter(None, paths)))}")
    return line_of(": ".join(filter(None, (name, next(filter(None, other), "")))))


def command_line(command: str, root: Root) -> str:
    """Return a shell command in one plain line, without the shell that it was handed to."""
    command = command[:COMMAND_MAX]
    if shell := SHELL.match(command):
        quote, command = shell[1], command[shell.end() :]
        command = ESCAPED[quote].sub(r"\1", command.removesuffix(quote)) if quote else command
    return line_of(f"Bash: {root.shorten(command)}")
