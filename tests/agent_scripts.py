"""Scripted agents, one a kind, which speak as Claude Code, Codex, ACP and a plain command do.

Each writes a wrong `prices.py`, and a right one when it is told that a test has failed; and leaves
processes behind in its group, in a session of their own, and with its output open.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from shlex import quote

from .repositories import git

WRONG, RIGHT = (f"def with_tax(cents):\\n    return cents{rest}\\n" for rest in ("", " * 2"))
TASK = "---\nid: T1\ntitle: Add tax\n---\n# Acceptance criteria\n- It is doubled.\n"
GREEN = '<testsuite><testcase name="tax"/></testsuite>'
RED = '<testsuite><testcase name="tax"><failure message="assert 1 == 2"/></testcase></testsuite>'
# As fast as can be: what is tested here is not pytest.
TEST = f"grep -q '* 2' prices.py && echo {quote(GREEN)} >{{junit}} || {{ echo {quote(RED)} "
TEST += ">{junit}; exit 1; }"

AGENT = f"""\
#!{sys.executable} -S
import json, os, subprocess, sys, time
from pathlib import Path

kind = os.path.basename(sys.argv[0])
STEPS, PAUSE = 4, 0.1

def say(**words):
    print(json.dumps(words), flush=True)

def leave_behind():
    subprocess.Popen(["sleep", "1000"])
    subprocess.Popen(["sleep", "1000"], start_new_session=True, stdout=subprocess.DEVNULL)
    subprocess.Popen(["sh", "-c", "trap '' TERM; sleep 1000 & sleep 1000"])

def work(prompt, tell):
    here = Path(sys.argv[0]).parent
    with (here / "prompts.jsonl").open("a") as file:
        file.write(json.dumps([sys.argv[1:], prompt]) + "\\n")
    exec((here / "script.py").read_text() if (here / "script.py").exists() else "leave_behind()")
    for step in range(STEPS):
        tell(f"step-{{step}}")
        Path(f"step-{{step}}").write_text(prompt)
        time.sleep(PAUSE)
    Path("prices.py").write_text("{RIGHT}" if "failed: " in prompt else "{WRONG}")
"""
AGENTS = {
    "claude": """
say(type="system", subtype="init", session_id="s")
def tell(name):
    use = {"type": "tool_use", "id": name, "name": "Write", "input": {"file_path": name}}
    say(type="assistant", session_id="s", message={"id": name, "content": [use]})
work(sys.stdin.read(), tell)
say(type="result", subtype="success", is_error=False, session_id="s", result="done",
    total_cost_usd=0.5, usage={"input_tokens": 100, "output_tokens": 10})
""",
    "codex": """
say(type="thread.started", thread_id="s")
def tell(name):
    item = {"id": name, "type": "command_execution", "command": f"echo > {name}"}
    say(type="item.started", item=item)
work(sys.stdin.read(), tell)
say(type="turn.completed", usage={"input_tokens": 100, "output_tokens": 10})
""",
    "agent": """
def hear():
    return json.loads(sys.stdin.readline())
say(jsonrpc="2.0", id=hear()["id"], result={"protocolVersion": 1})
say(jsonrpc="2.0", id=hear()["id"], result={"sessionId": "s"})
asked = hear()
def tell(name):
    update = {"sessionUpdate": "tool_call", "toolCallId": name, "title": f"Edit {name}"}
    say(jsonrpc="2.0", method="session/update", params={"sessionId": "s", "update": update})
work(asked["params"]["prompt"][0]["text"], tell)
say(jsonrpc="2.0", id=asked["id"], result={"stopReason": "end_turn"})
time.sleep(1000)
""",
    "plain": """
told = [os.environ[f"GUARDKIT_{name}_FILE"] for name in ("TASK", "FEEDBACK")]
work("".join(Path(each).read_text() for each in told), lambda name: print(name, flush=True))
""",
}
PLAYERS = {"claude": "claude", "codex": "codex", "agent": "acp:agent", "plain": "plain"}


def install(folder: Path) -> Mapping[str, str]:
    """Put all of them into a folder; return the environment in which they are found."""
    folder.mkdir(exist_ok=True)
    for name, script in AGENTS.items():
        (folder / name).write_text(AGENT + script)
        (folder / name).chmod(0o755)
    return os.environ | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def make_project(folder: Path) -> Path:
    """Make a repository with the task T1; return where."""
    (folder / "tasks").mkdir(parents=True)
    (folder / "tasks/T1.md").write_text(TASK)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "Begin")
    return folder
