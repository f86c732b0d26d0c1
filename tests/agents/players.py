"""Builds whose Player, or judging Coach, is a real agent: the task, the calls, and who looks on."""

import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shlex import quote
from typing import Any

from guardkit import read_progress
from guardkit.errors import GuardKitError

from ..integration.test_cli import GUARDKIT
from .api import Say, Use
from .clis import FOLDER
from .home import Home

TASK = """\
---
id: T1
title: Add tax
---
# Acceptance criteria
- with_tax(cents) is doubled.
"""
TESTS = "import prices\n\ndef test_tax():\n    assert prices.with_tax(1) == 2\n"
WRONG, RIGHT = (f"def with_tax(cents):\n    return cents{rest}\n" for rest in ("", " * 2"))
FAILED = "failed: test_prices::test_tax: assert 1 == 2"
PYTEST = "python -B -m pytest -q -p no:cacheprovider --junitxml={junit}"
LOOK = 0.1  # seconds between two looks

Env = Mapping[str, str]


def fill(project: Path) -> Path:
    """Put the task and its tests into a repository; return where its worktree will be."""
    (project / "tasks").mkdir()
    (project / "tasks/T1.md").write_text(TASK)
    (project / "test_prices.py").write_text(TESTS)
    for words in (("add", "."), ("commit", "-q", "-m", "Begin")):
        subprocess.run(("git", *words), cwd=project, env=os.environ | identity(), check=True)
    return project / ".guardkit/worktrees/T1"


def identity() -> dict[str, str]:
    """Return the environment of a git that knows its user, and reads no settings."""
    told = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    for who in ("AUTHOR", "COMMITTER"):
        told |= {f"GIT_{who}_NAME": "A Tester", f"GIT_{who}_EMAIL": "tester@example.invalid"}
    return told


def environment(home: Home) -> dict[str, str]:
    """Return the environment of a build: its agents are on the PATH."""
    path = f"{FOLDER / 'node_modules/.bin'}{os.pathsep}{home.env['PATH']}"
    return home.env | identity() | {"PATH": path}


def command(project: Path, *words: str, player: str) -> tuple[str, ...]:
    """Return the command that builds the task."""
    build = ("autobuild", "task", "T1", "--root", str(project), "--player", player)
    return (*GUARDKIT, *build, "--test", PYTEST, *words)


def build(
    home: Home, *words: str, player: str, env: Env | None = None
) -> subprocess.CompletedProcess[str]:
    """Build the task to its end."""
    return subprocess.run(
        command(home.project, *words, player=player),
        env=env or environment(home),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def document(project: Path, name: str = "progress.json") -> Any:
    """Return what a document of the task's build says."""
    return json.loads((project / ".guardkit/autobuild/T1" / name).read_bytes())


def writing(kind: str, worktree: Path, text: str) -> Use:
    """Return the call by which an agent writes prices.py."""
    if kind == "codex":
        return Use("exec_command", {"cmd": f"printf %s {quote(text)} > prices.py"})
    tool = "Write" if kind == "claude" else "write_file"
    return Use(tool, {"file_path": str(worktree / "prices.py"), "content": text})


def running(kind: str, line: str) -> Use:
    """Return the call by which an agent runs a command."""
    if kind == "codex":
        return Use("exec_command", {"cmd": line})
    tool = "Bash" if kind == "claude" else "run_shell_command"
    return Use(tool, {"command": line, "description": "run it"})


@dataclass
class Onlooker:
    """Reads the progress file every `LOOK` seconds, and keeps the messages that it has seen."""

    project: Path
    seen: list[str] = field(default_factory=list[str])
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Onlooker":
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(LOOK):
            try:
                self.seen.append(read_progress("T1", root=self.project).message or "")
            except GuardKitError:
                continue


@contextmanager
def serving(answer: Callable[[str, Any], tuple[int, bytes, str]]) -> Iterator[str]:
    """Serve all questions by a function; yield the URL.

    answer: takes the path and the body; returns the status, the content and its type.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self._reply(200, b"", "text/plain")

        def do_GET(self) -> None:
            self._reply(200, b'{"data": []}', "application/json")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            told = json.loads(body) if body.startswith(b"{") else {}
            self._reply(*answer(self.path, told))

        def _reply(self, status: int, content: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def refusing(status: int) -> Callable[[str, Any], tuple[int, bytes, str]]:
    """Return what answers all with an error."""
    kinds = {401: "authentication_error", 429: "rate_limit_error", 529: "overloaded_error"}
    error = {"type": kinds.get(status, "api_error"), "message": f"the stand-in says {status}"}
    content = json.dumps({"type": "error", "error": error}).encode()
    return lambda *_: (status, content, "application/json")


def speaking_gemini(*answers: Say | Use) -> Callable[[str, Any], tuple[int, bytes, str]]:
    """Return what answers as the API of Gemini: one of `answers` after the other."""
    left = list(answers)

    def answer(path: str, asked: Any) -> tuple[int, bytes, str]:
        if "countTokens" in path:
            return 200, b'{"totalTokens": 10}', "application/json"
        given = left.pop(0) if asked.get("tools") and left else Say("There is no more to say.")
        part: Any = {"text": given.text} if isinstance(given, Say) else None
        if isinstance(given, Use):
            part = {"functionCall": {"name": given.tool, "args": given.arguments}}
        said = {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}
        used = {"promptTokenCount": 100, "candidatesTokenCount": 20, "totalTokenCount": 120}
        whole = json.dumps({"candidates": [said], "usageMetadata": used}).encode()
        if "stream" in path:
            return 200, b"data: " + whole + b"\n\n", "text/event-stream"
        return 200, whole, "application/json"

    return answer


def set_up_gemini(home: Home, url: str) -> dict[str, str]:
    """Leave the settings of Gemini in a home; return the environment of a build by it."""
    (home.path / ".gemini").mkdir()
    auth = {"security": {"auth": {"selectedType": "gemini-api-key"}}}
    (home.path / ".gemini/settings.json").write_text(json.dumps(auth))
    told = {"GOOGLE_GEMINI_BASE_URL": url, "GEMINI_API_KEY": "not-a-key"}
    return environment(home) | told | {"GEMINI_CLI_TRUST_WORKSPACE": "true"}
