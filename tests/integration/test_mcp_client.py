"""The MCP server, as the official client of the SDK sees it: both generations of the protocol."""

import signal
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import anyio
import pytest
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp_types import CallToolResult, Request, RequestParams, Result, TextContent
from pydantic import Field

from guardkit.places.mcp.tools import FOOTER

from .test_cli import GUARDKIT, building, built, guardkit

pytestmark = pytest.mark.anyio
TASKS = "io.modelcontextprotocol/tasks"


class TaskParams(RequestParams):
    task_id: str


class TaskRequest(Request[TaskParams, str]):
    """A question about a task, or the wish to end it."""


class Task(Result):
    """A task as it is told of."""

    result_type: str = "complete"
    task_id: str
    status: str
    status_message: str
    created_at: str
    last_updated_at: str
    ttl_ms: int | None
    poll_interval_ms: int
    result: dict[str, Any] | None = None


class NewTask(Task):
    result_type: Literal["task"] = Field(default="task", alias="resultType")  # type: ignore[mutable-override, unused-ignore]


class Tasks(ClientExtension):
    """MCP tasks, which the SDK itself does not know: it asks until the task has ended.

    told: the lines that were seen meanwhile. asked: whether it has asked once.
    """

    identifier = TASKS

    def __init__(self) -> None:
        self.told: list[str] = []
        self.asked = anyio.Event()

    def claims(self) -> Sequence[ResultClaim[Any]]:
        return [ResultClaim(result_type="task", model=NewTask, resolve=self._follow)]

    async def _follow(self, task: NewTask, context: ClaimContext) -> CallToolResult:
        self.told.append(task.status_message)
        request = TaskRequest(method="tasks/get", params=TaskParams(task_id=task.task_id))
        while True:
            now = await context.session.send_request(request, Task)
            self.told.append(now.status_message)
            self.asked.set()
            if now.result is not None:
                return CallToolResult.model_validate(now.result)


@asynccontextmanager
async def connected(root: Path, mode: str, *extensions: ClientExtension) -> AsyncGenerator[Client]:
    command, *words = *GUARDKIT, "mcp", "--root", str(root)
    server = StdioServerParameters(command=command, args=words)
    async with Client(server, mode=mode, extensions=extensions) as client:
        yield client


def text(result: CallToolResult) -> list[str]:
    [content] = result.content
    assert isinstance(content, TextContent)
    told: list[str] = content.text.splitlines()
    return told


@pytest.mark.parametrize(("mode", "version"), [("legacy", "2025-11-25"), ("auto", "2026-07-28")])
async def test_both_generations_of_the_protocol_are_spoken(
    tmp_path: Path, mode: str, version: str
) -> None:
    built(tmp_path, "TASK-1")
    async with connected(tmp_path, mode) as client:
        assert client.protocol_version == version
        assert client.server_info
        assert client.server_info.name == "guardkit"
        tools = (await client.list_tools()).tools
        assert [tool.name for tool in tools if tool.annotations and tool.annotations.read_only_hint]
        assert len(tools) == 4
        listed = await client.call_tool("list_builds", {})
        said = guardkit("status", "--root", str(tmp_path)).stdout.splitlines()
        assert text(listed)[:-1] == said
        status = await client.call_tool("build_status", {"task_id": "TASK-1"})
        assert text(status)[:-1] == said
        log = await client.call_tool("build_log", {"task_id": "TASK-1"})
        assert (
            text(log)[:-1] == guardkit("log", "TASK-1", "--root", str(tmp_path)).stdout.splitlines()
        )
        missing = await client.call_tool("build_status", {"task_id": "TASK-2"})
        assert missing.is_error
        [content] = (await client.read_resource(FOOTER)).contents
        assert content.mime_type == "application/json"
        with pytest.raises(MCPError, match="there is no such tool"):
            await client.call_tool("end_build", {})


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_call_tells_its_progress_until_the_build_has_ended(
    tmp_path: Path, mode: str
) -> None:
    told: list[str | None] = []
    with building(tmp_path, "TASK-1") as builder:

        async def hear(progress: float, total: float | None, message: str | None) -> None:
            told.append(message)
            assert (progress, total) == (len(told), None)
            if len(told) == 1:
                builder.stdin.write("go\n")  # type: ignore[union-attr]
                builder.stdin.flush()  # type: ignore[union-attr]

        async with connected(tmp_path, mode) as client:
            wanted = {"task_id": "TASK-1"}
            result = await client.call_tool("watch_build", wanted, progress_callback=hear)
    assert {(line or "").partition(" - ")[0] for line in told} == {
        "running: Wave 1/3, TASK-1 (Turn 1/5, Player Implementation)"
    }
    assert text(result)[1].startswith("completed: ended after ")


async def test_a_task_is_followed_until_the_builder_dies(tmp_path: Path) -> None:
    tasks = Tasks()
    with building(tmp_path, "TASK-1") as builder:
        async with connected(tmp_path, "auto", tasks) as client, anyio.create_task_group() as group:

            async def kill() -> None:
                await tasks.asked.wait()
                builder.send_signal(signal.SIGKILL)

            group.start_soon(kill)
            result = await client.call_tool("watch_build", {"task_id": "TASK-1"})
    place = "Wave 1/3, TASK-1 (Turn 1/5, Player Implementation) - 0s elapsed"
    assert tasks.told[0].startswith(f"running: {place[:-10]}")
    assert tasks.told[-1].startswith("crashed: Wave 1/3, TASK-1 ")
    why = "no longer holds the lock of TASK-1: it ended without a word"
    assert text(result)[1].startswith("crashed: process ")
    assert text(result)[1].endswith(why)
    assert tasks.told[-1].endswith(why)


async def test_another_server_goes_on_with_a_task_and_cancelling_ends_no_build(
    tmp_path: Path,
) -> None:
    with building(tmp_path, "TASK-1") as builder:
        async with connected(tmp_path, "auto", Tasks()) as client:
            begun = await client.session.call_tool(
                "watch_build", {"task_id": "TASK-1"}, allow_claimed=True
            )
            assert isinstance(begun, NewTask)
        params = TaskParams(task_id=begun.task_id)
        async with connected(tmp_path, "auto", Tasks()) as client:
            ask = TaskRequest(method="tasks/get", params=params)
            assert (await client.session.send_request(ask, Task)).status == "working"
            cancel = TaskRequest(method="tasks/cancel", params=params)
            await client.session.send_request(cancel, Result)
            assert (await client.session.send_request(ask, Task)).status == "working"
            builder.communicate("go\n")
            ended = await client.session.send_request(ask, Task)
            assert (ended.status, ended.result is None) == ("completed", False)
            with pytest.raises(MCPError, match="there is no such task"):
                forged = TaskParams(task_id=f"{begun.task_id}:")
                await client.session.send_request(
                    TaskRequest(method="tasks/get", params=forged), Task
                )


async def test_who_ends_a_call_ends_nothing_else(tmp_path: Path) -> None:
    with building(tmp_path, "TASK-1") as builder:
        async with connected(tmp_path, "auto") as client:
            heard = anyio.Event()

            async def hear(progress: float, total: float | None, message: str | None) -> None:
                heard.set()

            async with anyio.create_task_group() as group:

                async def watch() -> None:
                    await client.call_tool(
                        "watch_build", {"task_id": "TASK-1"}, progress_callback=hear
                    )

                group.start_soon(watch)
                await heard.wait()
                group.cancel_scope.cancel()
            assert text(await client.call_tool("list_builds", {}))[1].startswith("running: ")
        assert builder.poll() is None
