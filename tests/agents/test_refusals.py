"""Why a real agent does not build: each told in one line, and the build ends as that asks for."""

import socket
from pathlib import Path

import pytest

from .api import Api, Say, Use
from .home import Home
from .players import (
    RIGHT,
    build,
    document,
    environment,
    fill,
    refusing,
    running,
    serving,
    set_up_gemini,
)

PROVIDER = "model_providers.stand-in"
PLAYERS = {
    "claude": "claude",
    "codex": f"codex -c {PROVIDER}.request_max_retries=0 -c {PROVIDER}.stream_max_retries=1",
}
OUTSIDE = "/opt/prices.py"
REFUSED = {
    ("claude", 401): ("configuration_error", "claude: the API refuses the login (", "log in there"),
    ("claude", 429): ("rate_limited", "claude: rate limited (", "until the limit is lifted"),
    ("claude", 529): ("error", "claude: the API is overloaded (", "try again later"),
    ("codex", 401): ("configuration_error", "codex: the API refuses the login (", "`codex login`"),
    ("codex", 429): ("rate_limited", "codex: rate limited (", "until the limit is lifted"),
    ("codex", 500): ("error", "codex: the API is overloaded (", "try again later"),
}


def reason(home: Home, decision: str, *words: str, player: str, **options: dict[str, str]) -> str:
    """Return why a build has failed, which was decided so."""
    ended = build(home, *words, player=player, **options)
    assert (ended.returncode, ended.stderr) == (1, "")
    progress = document(home.project)
    assert progress["decision"] == decision, progress["error"]
    assert f"Status: FAILED - {progress['error']}\n" in ended.stdout
    return str(progress["error"])


@pytest.mark.parametrize(("kind", "status"), REFUSED)
def test_an_error_of_the_api(folder: Path, project: Path, kind: str, status: int) -> None:
    fill(project)
    decision, *parts = REFUSED[kind, status]
    with serving(refusing(status)) as url:
        why = reason(Home(folder / "home", project, url), decision, player=PLAYERS[kind])
    assert all(part in why for part in parts), why


def test_a_refused_login_by_acp(folder: Path, project: Path) -> None:
    """Of a 429 Gemini tells nothing: it tries again, for minutes."""
    fill(project)
    with serving(refusing(401)) as url:
        home = Home(folder / "home", project, url)
        env = set_up_gemini(home, url)
        player = "acp:gemini --acp -m gemini-2.5-flash"
        why = reason(home, "configuration_error", player=player, env=env)
    assert "Gemini CLI: the API refuses the login (" in why


@pytest.mark.parametrize(
    ("kind", "decision", "words"),
    [
        ("claude", "error", "claude: the API cannot be reached ("),
        ("codex", "timeout_budget_exhausted", "codex: the API cannot be reached ("),
    ],
)
def test_no_api(folder: Path, project: Path, kind: str, decision: str, words: str) -> None:
    """Codex waits for the network for ever: its time ends that."""
    fill(project)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    home = Home(folder / "home", project, f"http://127.0.0.1:{port}")
    why = reason(home, decision, "--player-timeout", "10s", player=PLAYERS[kind])
    assert words in why
    assert "mend the network" in why


@pytest.mark.parametrize("kind", PLAYERS)
def test_no_login(home: Home, project: Path, kind: str) -> None:
    fill(project)
    env = environment(home)
    del env["ANTHROPIC_API_KEY"], env["STAND_IN_KEY"]
    why = reason(home, "configuration_error", player=PLAYERS[kind], env=env)
    assert f"{kind}: not logged in (" in why


def test_a_denied_tool(home: Home, api: Api, project: Path) -> None:
    fill(project)
    api.enqueue(Use("Write", {"file_path": OUTSIDE, "content": RIGHT}), Say("I could not."))
    why = reason(home, "max_turns_exceeded", "--max-turns", "1", player="claude")
    assert f"claude: was denied (Write {OUTSIDE}); --permissions ask-nothing would allow it" in why
    assert not Path(OUTSIDE).exists()


def test_a_refusal_of_the_sandbox(home: Home, api: Api, project: Path) -> None:
    fill(project)
    api.enqueue(running("codex", f"echo x > {OUTSIDE}; sleep 1"), Say("I could not."))
    why = reason(home, "max_turns_exceeded", "--max-turns", "1", player="codex")
    assert f"codex: was refused by its sandbox, it seems (Bash: echo x > {OUTSIDE}" in why
    assert not Path(OUTSIDE).exists()


def test_out_of_turns(home: Home, api: Api, project: Path) -> None:
    fill(project)
    api.enqueue(*[running("claude", "true")] * 4)
    why = reason(home, "player_invocation_stall", player="claude --max-turns 1")
    assert "claude: out of its own turns (" in why
    assert "raise its limit in --player, such as --max-turns" in why


def test_a_model_that_there_is_not(folder: Path, project: Path) -> None:
    fill(project)
    with serving(refusing(404)) as url:
        home = Home(folder / "home", project, url)
        why = reason(home, "configuration_error", player="claude --model no-such-model")
    assert "claude: cannot be run like this (" in why
