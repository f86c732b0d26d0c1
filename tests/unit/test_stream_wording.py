"""Tool calls in words, and which paths lie in the worktree."""

from pathlib import Path

import pytest

from guardkit.orchestrator.agents.wording import Root, command_line, tool_line

ROOT = Root("/home/u/repo")


@pytest.mark.parametrize(
    ("tool", "given", "line"),
    [
        ("Edit", {"file_path": "/home/u/repo/src/prices.py"}, "Edit src/prices.py"),
        ("Edit", {"file_path": "/home/u/repo2/prices.py"}, "Edit /home/u/repo2/prices.py"),
        ("Bash", {"command": "pytest -q", "description": "test"}, "Bash: pytest -q"),
        ("Bash", {"command": "cd /home/u/repo && ls /home/u/repo/src"}, "Bash: cd . && ls src"),
        ("Bash", {"command": "ls /home/u/repo2"}, "Bash: ls /home/u/repo2"),
        ("Bash", {"command": "a\n\x1b[31mb\u202e"}, "Bash: a b"),
        ("Grep", {"pattern": "def f", "path": "src"}, "Grep: def f"),
        ("Task", {"description": "look", "prompt": "look at all"}, "Task: look"),
        ("mcp__raw__watch", {"n": 5}, "raw.watch"),
        ("Odd", None, "Odd"),
        ("", [], ""),
    ],
)
def test_a_tool_is_named_with_what_tells_most(tool: str, given: object, line: str) -> None:
    assert tool_line(tool, given, ROOT) == line


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("/bin/bash -lc 'pytest -q'", "Bash: pytest -q"),
        ("/bin/bash -lc pwd", "Bash: pwd"),
        ("""bash -lc "echo \\"\\$HOME\\" 'it'" """.rstrip(), """Bash: echo "$HOME" 'it'"""),
        ("/bin/sh -c 'echo '\\''it'\\'''", "Bash: echo 'it'"),
        ("pytest -q /home/u/repo/tests", "Bash: pytest -q tests"),
        ("/bin/bash -lc 'cat <<EOF\n" + "x" * 10**6, "Bash: cat <<EOF " + "x" * 184),
    ],
)
def test_the_shell_around_a_command_is_left_out(command: str, line: str) -> None:
    assert command_line(command, ROOT) == line


def test_a_path_is_inside_wherever_links_lead(tmp_path: Path) -> None:
    worktree, outside = tmp_path / "worktree", tmp_path / "outside"
    worktree.mkdir()
    outside.mkdir()
    (worktree / "out").symlink_to(outside)
    (worktree / "in").symlink_to(worktree)
    (tmp_path / "link").symlink_to(worktree)
    for root in (Root(worktree), Root(tmp_path / "link")):
        assert root.holds(str(worktree))
        assert root.holds("new/file.py")
        assert root.holds(str(worktree / "in" / "file.py"))
        assert root.holds(str(tmp_path / "link" / "file.py"))
        assert not root.holds(str(outside / "file.py"))
        assert not root.holds(str(worktree / "out" / "file.py"))
        assert not root.holds("../outside")
        assert not root.holds("~/file.py")
        assert not root.holds(f"{worktree}2/file.py")
        assert not root.holds("a\0b")
        assert root.short(str(worktree / "a.py")) == "a.py"
    assert Root(tmp_path / "link").short(str(tmp_path / "link" / "a.py")) == "a.py"
