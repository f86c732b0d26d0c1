"""The ACP client and real processes: an agent of the official package, and scripted bad ones."""

import json
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import anyio
import pytest
from anyio.abc import Process

from guardkit.orchestrator.agents.acp import GRACE, PATIENCE, AcpClient
from guardkit.orchestrator.agents.endings import Cause, Ending
from guardkit.orchestrator.agents.news import Layer, News
from guardkit.progress.snapshot import Usage
from guardkit.testing import FakeClock

pytestmark = pytest.mark.anyio
official = pytest.mark.skipif(not find_spec("acp"), reason="agent-client-protocol is not there")

# An agent of the official package: does what the first word of its prompt says.
OFFICIAL = """
import asyncio, sys
from pathlib import Path
import acp
from acp import schema

class Agent:
    def on_connect(self, client):
        self.client = client
    async def initialize(self, protocol_version, **_):
        resume = schema.SessionCapabilities(resume=schema.SessionResumeCapabilities())
        can = schema.AgentCapabilities(session_capabilities=resume)
        us = schema.Implementation(name="official", version="1")
        return acp.InitializeResponse(
            protocol_version=protocol_version, agent_capabilities=can, agent_info=us)
    async def new_session(self, cwd, **_):
        self.cwd, self.cancelled = Path(cwd), asyncio.Event()
        modes = [schema.SessionMode(id=name, name=name) for name in ("auto", "acceptEdits")]
        state = schema.SessionModeState(current_mode_id="auto", available_modes=modes)
        return acp.NewSessionResponse(session_id="S1", modes=state)
    async def resume_session(self, session_id, cwd, **_):
        if session_id != "S1":
            raise acp.RequestError.invalid_params()
        await self.new_session(cwd)
        return schema.ResumeSessionResponse()
    async def set_session_mode(self, session_id, mode_id, **_):
        (self.cwd / "mode").write_text(mode_id)
    async def say(self, words):
        await self.client.session_update("S1", acp.update_agent_message_text(words))
    async def edit(self, path):
        call = acp.start_edit_tool_call("t1", "write", str(path), "new")
        await self.client.session_update("S1", call)
        options = [
            schema.PermissionOption(option_id=kind, name=kind, kind=kind)
            for kind in ("allow_always", "allow_once", "reject_once")]
        asked = schema.ToolCallUpdate(tool_call_id="t1")
        answer = (await self.client.request_permission("S1", asked, options)).outcome
        if answer.outcome == "selected" and answer.option_id == "allow_once":
            path.write_text("new")
        update = acp.update_tool_call("t1", status="completed")
        await self.client.session_update("S1", update)
        await self.say(f"{answer.outcome} {getattr(answer, 'option_id', '')}".strip())
    async def prompt(self, prompt, session_id, **_):
        stop, (word, *rest) = "end_turn", prompt[0].text.split(" ", 1)
        if word == "edit":
            await self.edit(self.cwd / rest[0])
        elif word == "read":
            await self.client.read_text_file("S1", "/etc/hosts")
        elif word == "login":
            raise acp.RequestError.auth_required()
        elif word == "wait":
            await self.say("waiting")
            await self.cancelled.wait()
            (self.cwd / "cancelled").touch()
            stop = "cancelled"
        else:
            await self.say(" ".join([word, *rest]))
        used = schema.Usage(total_tokens=7, input_tokens=4, output_tokens=3)
        return acp.PromptResponse(stop_reason=stop, usage=used)
    async def cancel(self, session_id, **_):
        self.cancelled.set()

asyncio.run(acp.run_agent(Agent(), use_unstable_protocol=True))
"""

# What scripted agents have in common: they speak by hand, and say what they like.
BY_HAND = """
import json, sys, time
def send(**words):
    print(json.dumps({"jsonrpc": "2.0", **words}), flush=True)
def hear():
    return json.loads(sys.stdin.readline())
def update(**words):
    send(method="session/update", params={"sessionId": "S", "update": words})
def start():
    send(id=hear()["id"], result={"protocolVersion": 1, "agentInfo": {"title": "Scripted"}})
    send(id=hear()["id"], result={"sessionId": "S"})
    return hear()
"""


class Talk:
    """One agent in a process of its own, and the client that talks to it."""

    def __init__(self, process: Process, worktree: Path, clock: FakeClock) -> None:
        self.process = process
        self.news: list[News] = []
        self.heard = anyio.Event()
        assert process.stdout
        assert process.stdin
        self.client = AcpClient(
            process.stdout, process.stdin, worktree=worktree, clock=clock, on_news=self.hear
        )

    def hear(self, news: News) -> None:
        self.news.append(news)
        if news.message == "waiting":
            self.heard.set()

    async def run(self, prompt: str = "hello", session: str = "") -> Ending:
        with anyio.fail_after(60):
            return await self.client.run(prompt, session)


@asynccontextmanager
async def talking(program: str, worktree: Path, clock: FakeClock) -> AsyncGenerator[Talk]:
    command = (sys.executable, "-c", program)
    async with await anyio.open_process(command, cwd=worktree, stderr=None) as process:
        try:
            yield Talk(process, worktree, clock)
        finally:
            with suppress(ProcessLookupError):
                process.kill()


@official
async def test_a_tool_in_the_worktree_is_allowed_and_told(tmp_path: Path, clock: FakeClock) -> None:
    async with talking(OFFICIAL, tmp_path, clock) as talk:
        ending = await talk.run("edit made.py")
    assert (tmp_path / "made.py").read_text() == "new"
    assert "Edit made.py" in [news.message for news in talk.news]
    assert [tool for news in talk.news for tool in news.started] == ["t1"]
    assert ending == Ending(
        ok=True, answer="selected allow_once", session="S1", usage=Usage(tokens=7)
    )


@official
async def test_a_mode_in_which_edits_are_not_asked_for_is_set(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with talking(OFFICIAL, tmp_path, clock) as talk:
        await talk.run()
    assert (tmp_path / "mode").read_text() == "acceptEdits"


@official
async def test_a_tool_outside_the_worktree_is_rejected_and_told(
    tmp_path: Path, clock: FakeClock
) -> None:
    worktree = tmp_path / "worktree"
    worktree.mkdir()
    async with talking(OFFICIAL, worktree, clock) as talk:
        ending = await talk.run("edit ../other.py")
    assert not (tmp_path / "other.py").exists()
    assert ending.ok
    assert ending.cause is Cause.DENIED
    assert ending.answer == "selected reject_once"
    assert ending.reason.startswith("official: was denied (Edit ")
    assert Layer.PERMISSION in {news.layer for news in talk.news}


@official
@pytest.mark.parametrize(("session", "is_resumed"), [("S1", True), ("gone", False)])
async def test_a_session_is_resumed_or_else_a_new_one_begun(
    tmp_path: Path, clock: FakeClock, session: str, is_resumed: bool
) -> None:
    async with talking(OFFICIAL, tmp_path, clock) as talk:
        ending = await talk.run("hello again", session)
    assert (ending.ok, ending.answer, ending.session) == (True, "hello again", "S1")
    assert (tmp_path / "mode").exists() is not is_resumed  # only a new session told its modes


@official
async def test_what_the_agent_asks_for_and_we_do_not_offer_is_refused(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with talking(OFFICIAL, tmp_path, clock) as talk:
        ending = await talk.run("read")
    assert ending.cause is Cause.STOPPED
    assert "not known here" in ending.reason


@official
async def test_one_that_is_not_logged_in_says_so(tmp_path: Path, clock: FakeClock) -> None:
    async with talking(OFFICIAL, tmp_path, clock) as talk:
        ending = await talk.run("login")
    assert ending.reason.startswith("official: not logged in (Authentication required")
    assert ending.decision == "configuration_error"


@official
async def test_one_that_is_cancelled_is_told_so(tmp_path: Path, clock: FakeClock) -> None:
    async with talking(OFFICIAL, tmp_path, clock) as talk, anyio.create_task_group() as tasks:
        tasks.start_soon(talk.run, "wait")
        with anyio.fail_after(60):
            await talk.heard.wait()
        tasks.cancel_scope.cancel()
    assert (tmp_path / "cancelled").exists()


@official
async def test_a_prompt_of_2_mb_arrives_without_its_middle(
    tmp_path: Path, clock: FakeClock
) -> None:
    prompt = "begin " + "x" * 2**21 + " end"
    async with talking(OFFICIAL, tmp_path, clock) as talk:
        ending = await talk.run(prompt)
    assert ending.answer.startswith("begin x")
    assert ending.answer.endswith("x end")
    assert 2**19 < len(ending.answer) <= 2**20


@pytest.mark.parametrize(
    ("program", "cause", "reason"),
    [
        ("", Cause.BROKEN, "the agent: ended without a result (it has gone)"),
        (
            "print('usage: agent [options]')",
            Cause.BROKEN,
            (
                "the agent: ended without a result (it has gone, and says no ACP but: usage: agent "
                "[options])"
            ),
        ),
        (
            "send(id=hear()['id'], result={'protocolVersion': 2})",
            Cause.SETUP,
            "the agent: cannot be run like this (it speaks version 2 of ACP, not 1)",
        ),
        (
            "send(id=hear()['id'], result=[])",
            Cause.SETUP,
            "the agent: cannot be run like this (it speaks version None of ACP, not 1)",
        ),
        (
            "send(id=hear()['id'], error={'code': 401, 'message': 'no key'})",
            Cause.REFUSED,
            "the agent: the API refuses the login (no key); log in with its own CLI",
        ),
        (
            (
                "send(id=start()['id'], error={'code': -32603, 'message': 'Internal error',"
                " 'data': {'errorKind': 'rate_limit'}})"
            ),
            Cause.LIMITED,
            'Scripted: rate limited (Internal error {"errorKind": "rate_limit"})',
        ),
        (
            "send(id=start()['id'], result={'stopReason': 'max_turn_requests'})",
            Cause.TURNS,
            "Scripted: out of its own turns (max_turn_requests)",
        ),
        (
            "send(id=start()['id'], error='odd')",
            Cause.STOPPED,
            "Scripted: stopped before it had ended",
        ),
        ("start()", Cause.BROKEN, "Scripted: ended without a result (it has gone)"),
        (
            (
                "send(id=hear()['id'], result={'protocolVersion': 1});"
                " send(id=hear()['id'], result={'sessionId': 7}); hear()"
            ),
            Cause.STOPPED,
            "the agent: stopped before it had ended",
        ),
    ],
    ids=[
        *("nothing", "usage", "version", "no version", "login", "limit", "turns", "odd error"),
        *("gone", "no session"),
    ],
)
async def test_what_goes_wrong_is_told_in_one_line(
    tmp_path: Path, clock: FakeClock, program: str, cause: Cause, reason: str
) -> None:
    async with talking(BY_HAND + program, tmp_path, clock) as talk:
        ending = await talk.run()
    assert (ending.ok, ending.cause) == (False, cause)
    assert ending.reason.startswith(reason)


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("time.sleep(600)", "no session within 120 s"),
        (
            "print('Welcome!', flush=True); time.sleep(600)",
            "no session within 120 s, and says no ACP but: Welcome!",
        ),
        ("while True: print('noise')", "no session within 120 s, and says no ACP but: noise"),
    ],
    ids=["silent", "a greeting", "a flood of garbage"],
)
async def test_one_that_opens_no_session_is_given_up(
    tmp_path: Path, clock: FakeClock, program: str, said: str
) -> None:
    async with talking(BY_HAND + program, tmp_path, clock) as talk:
        endings = list[Ending]()

        async def run() -> None:
            endings.append(await talk.run())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            if "Welcome" in said or "noise" in said:
                with anyio.fail_after(60):
                    while not talk.client._peer.noise:
                        await anyio.lowlevel.checkpoint()
            await clock.advance(PATIENCE)
    assert endings[0].cause is Cause.SETUP
    assert f"({said})" in endings[0].reason


async def test_one_that_is_silent_is_said_to_think(tmp_path: Path, clock: FakeClock) -> None:
    async with talking(BY_HAND + "start()", tmp_path, clock) as talk:
        await talk.run()
    assert [news.message for news in talk.news] == ["thinking"]


async def test_what_an_earlier_session_said_is_not_told_again(
    tmp_path: Path, clock: FakeClock
) -> None:
    program = r"""
can = {"loadSession": True}
send(id=hear()["id"], result={"protocolVersion": 1, "agentCapabilities": can})
asked = hear()
assert (asked["method"], asked["params"]["sessionId"]) == ("session/load", "S")
update(sessionUpdate="agent_message_chunk", content={"text": "long ago"})
send(id=asked["id"], result=None)
send(id=hear()["id"], result={"stopReason": "end_turn"})
"""
    async with talking(BY_HAND + program, tmp_path, clock) as talk:
        ending = await talk.run("go on", "S")
    assert (ending.ok, ending.answer, ending.session) == (True, "", "S")
    assert {news.message for news in talk.news} == {"thinking"}


async def test_garbage_between_messages_is_passed_over(tmp_path: Path, clock: FakeClock) -> None:
    program = r"""
key = start()["id"]
for line in (b"garbage", b"\xff\xfe", b"[" * 100_000, b'{"jsonrpc"', b"x" * 9_000_000, b"7"):
    sys.stdout.buffer.write(line + b"\n")
sys.stdout.buffer.flush()
send(id="another", result={}); send(method="odd/notification"); send(method="odd/request", id=1)
assert hear()["error"]["code"] == -32601
update(sessionUpdate="odd"); update(sessionUpdate="agent_message_chunk", content={"text": "right"})
send(id=key, result={"stopReason": "end_turn"})
"""
    async with talking(BY_HAND + program, tmp_path, clock) as talk:
        ending = await talk.run()
    assert (ending.ok, ending.answer) == (True, "right")


async def test_a_flood_of_updates_is_read_to_its_end(tmp_path: Path, clock: FakeClock) -> None:
    program = r"""
key = start()["id"]
line = {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": "x" * 100}}
message = {"method": "session/update", "params": {"sessionId": "S", "update": line}}
text = json.dumps(message) + "\n"
for _ in range(200): sys.stdout.write(text * 100)
send(id=key, result={"stopReason": "end_turn"})
"""
    async with talking(BY_HAND + program, tmp_path, clock) as talk:
        ending = await talk.run()
    assert len(talk.news) == 20_002
    assert len(ending.answer) == 2**20


async def test_one_that_asks_and_never_reads_cannot_hold_a_cancellation_up(
    tmp_path: Path, clock: FakeClock
) -> None:
    program = r"""
start()
update(sessionUpdate="agent_message_chunk", content={"text": "waiting"})
while True: send(id=1, method="session/request_permission", params={})
"""
    async with talking(BY_HAND + program, tmp_path, clock) as talk:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(talk.run)
            with anyio.fail_after(60):
                await talk.heard.wait()
            tasks.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                await clock.advance(GRACE)


async def test_a_permission_that_is_asked_for_after_a_cancellation_is_not_given(
    tmp_path: Path, clock: FakeClock
) -> None:
    program = r"""
key = start()["id"]
update(sessionUpdate="agent_message_chunk", content={"text": "waiting"})
assert hear()["method"] == "session/cancel"
options = [{"optionId": "yes", "kind": "allow_once"}]
send(id=1, method="session/request_permission", params={"options": options})
open("answer", "w").write(json.dumps(hear()["result"]))
send(id=key, result={"stopReason": "cancelled"})
"""
    async with talking(BY_HAND + program, tmp_path, clock) as talk:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(talk.run)
            with anyio.fail_after(60):
                await talk.heard.wait()
            tasks.cancel_scope.cancel()
    answer = json.loads((tmp_path / "answer").read_text())
    assert answer == {"outcome": {"outcome": "cancelled"}}


async def test_why_one_has_gone_is_told_by_its_exit_code_and_stderr(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with talking("", tmp_path, clock) as talk:
        await talk.run()
    ending = talk.client.ended(1, "a note\nError: Not logged in\n")
    assert ending.reason.startswith("the agent: not logged in (Error: Not logged in); log in")
