"""How a build ends, by whatever ends it, and that nothing follows: promises 3.5 and 3.6."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import anyio
import pytest

from guardkit import (
    Snapshot,
    read_progress,
    track_build,
)
from guardkit.testing import FakeClock

from ..doubles import TimedSink
from ..shown import Journal, OnDisk, seq, shown

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]


# exceptions


class MuteError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("mute")


class NotesError(Exception):
    @property
    def __notes__(self) -> list[str]:  # type: ignore[override]
        raise RuntimeError("no notes")


class EmptyError(Exception):
    pass


def deep_group() -> Exception:
    error: Exception = ValueError("at the bottom")
    for _ in range(2000):
        error = ExceptionGroup("group", [error])
    return error


async def test_the_exception_that_leaves_the_build_is_the_one_that_was_raised(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    error = ValueError("wrong")
    with pytest.raises(ValueError, match="wrong") as caught:
        async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
            async with build.turn() as turn, turn.phase("Coach Validation"):
                raise error
    assert caught.value is error
    assert on_disk()["status"] == on_disk()["phase_status"] == "failed"
    assert on_disk()["error"] == "ValueError: wrong"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        pytest.param(EmptyError(), "EmptyError", id="no text"),
        pytest.param(KeyError("name"), "KeyError: 'name'", id="KeyError"),
        pytest.param(MuteError(), "MuteError: <exception str() failed>", id="str raises"),
        pytest.param(NotesError("said"), "NotesError: said", id="notes raise"),
        pytest.param(deep_group(), "ExceptionGroup: group (1 sub-exception)", id="deep group"),
        pytest.param(ValueError("a\ud800b"), "ValueError: a\ufffdb", id="lone surrogate"),
        pytest.param(SystemExit(3), "SystemExit: 3", id="SystemExit"),
    ],
)
async def test_whatever_is_raised_fails_the_build_and_leaves_it_as_it_is(
    clock: FakeClock, error: BaseException, text: str
) -> None:
    caught = None
    build = track_build("TASK-1", root=None, clock=clock)
    try:
        async with build:
            raise error
    except BaseException as raised:
        caught = raised
    assert caught is error
    assert (build.snapshot.status, build.snapshot.error) == ("failed", text)


@pytest.mark.parametrize("error", [asyncio.CancelledError(), KeyboardInterrupt()], ids=repr)
async def test_what_interrupts_a_phase_cancels_it(clock: FakeClock, error: BaseException) -> None:
    async with track_build("TASK-1", root=None, clock=clock) as build:
        with pytest.raises(type(error)):
            async with build.phase("Setup"):
                raise error
        assert shown(build) == (0, "Setup", "cancelled")
        assert build.snapshot.error is None


# cancellations


async def cancel_by_task(body: Callable[[], Awaitable[None]]) -> None:
    task = asyncio.ensure_future(body())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def cancel_by_timeout(body: Callable[[], Awaitable[None]]) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await body()


async def cancel_by_scope(body: Callable[[], Awaitable[None]]) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await body()
    assert scope.cancelled_caught


CANCELLATIONS = pytest.mark.parametrize(
    "cancel",
    [cancel_by_task, cancel_by_timeout, cancel_by_scope],
    ids=["task.cancel", "asyncio.timeout", "anyio scope"],
)


@CANCELLATIONS
async def test_a_build_that_is_cancelled_ends_cancelled_on_disk(
    tmp_path: Path,
    clock: FakeClock,
    on_disk: OnDisk,
    cancel: Callable[[Callable[[], Awaitable[None]]], Awaitable[None]],
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build, build.turn() as turn:

        async def body() -> None:
            async with turn.phase("Player Implementation"):
                await asyncio.Event().wait()

        await cancel(body)
        assert build.snapshot.phase_status == "cancelled"
        assert build.snapshot.status == "running"

    async def whole() -> None:
        async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
            async with build.turn() as turn, turn.phase("Player Implementation"):
                await asyncio.Event().wait()

    await cancel(whole)
    assert on_disk()["status"] == "cancelled"
    assert on_disk()["error"] is None


async def test_a_second_cancellation_does_not_keep_the_last_snapshot_from_the_disk(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    async def body() -> None:
        async with track_build("TASK-1", root=tmp_path, clock=clock):
            await asyncio.Event().wait()

    task = asyncio.create_task(body())
    await clock.advance(0.0)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert on_disk()["status"] == "cancelled"


async def test_a_cancellation_while_the_build_is_left_keeps_the_state_that_came_first(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    async def body() -> None:
        async with track_build("TASK-1", root=tmp_path, clock=clock):
            asyncio.get_running_loop().call_soon(task.cancel)

    task = asyncio.create_task(body())
    with pytest.raises(asyncio.CancelledError):
        await task
    assert on_disk()["status"] == "completed"


async def test_a_coroutine_that_is_closed_leaves_the_build_cancelled_without_waiting(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    async def body() -> AsyncGenerator[None]:
        async with track_build("TASK-1", root=tmp_path, clock=clock):
            yield

    generator = body()
    await anext(generator)
    await generator.aclose()
    await clock.advance(0.0)
    assert on_disk()["status"] == "cancelled"


# cancelled while entering


async def test_a_build_that_is_cancelled_while_it_takes_the_task_ends_cancelled(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    async def body() -> None:
        async with track_build("TASK-1", root=tmp_path, clock=clock):
            pytest.fail("it was entered")

    task = asyncio.create_task(body())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (on_disk()["status"], on_disk()["error"]) == ("cancelled", None)
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        assert on_disk()["status"] == "running"


async def test_a_build_that_is_cancelled_while_its_first_write_is_under_way_ends_cancelled(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    build = track_build("TASK-1", root=tmp_path, clock=clock)

    async def body() -> None:
        async with build:
            pytest.fail("it was entered")

    task = asyncio.create_task(body())
    while not seq(build):  # noqa: ASYNC110 (nothing tells of it)
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert on_disk()["status"] == build.snapshot.status == "cancelled"


@pytest.mark.parametrize("kind", ["turn", "phase"])
async def test_a_scope_that_is_cancelled_while_it_is_entered_is_closed(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk, journal: Journal, kind: str
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:

        async def body() -> None:
            async with build.turn() if kind == "turn" else build.phase("Setup"):
                pytest.fail("it was entered")

        task = asyncio.create_task(body())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert build.snapshot.phase_status == ("pending" if kind == "turn" else "cancelled")
        async with build.turn():
            pass
    events = [entry["event"] for entry in journal()]
    assert events[1:3] == [f"{kind}.started", f"{kind}.ended"]
    assert on_disk()["status"] == "completed"


# final means final


async def test_nothing_follows_the_terminal_snapshot(tmp_path: Path, clock: FakeClock) -> None:
    sink = TimedSink(clock)
    async with track_build("TASK-1", root=tmp_path, clock=clock, sinks=[sink]) as build:
        build.update(files_created=1)
    path = tmp_path / ".guardkit/autobuild/TASK-1/progress.json"
    last = path.stat()
    await clock.advance(100.0)
    assert path.stat().st_mtime_ns == last.st_mtime_ns
    assert path.stat().st_ino == last.st_ino
    assert sink.times[-1] == 0.0
    assert build.snapshot == sink.writes[-1][1] == read_progress("TASK-1", root=tmp_path)


async def test_nothing_follows_the_end_of_a_build_while_another_one_goes_on(
    tmp_path: Path, clock: FakeClock
) -> None:
    class Broken(TimedSink):
        async def write(self, snapshot: Snapshot, /) -> None:
            await super().write(snapshot)
            raise ValueError("broken")

    timed, broken = TimedSink(clock), Broken(clock)
    async with track_build("TASK-2", root=None, clock=clock):
        async with track_build("TASK-1", root=None, clock=clock, sinks=[timed, broken]):
            await clock.advance(0.0)
        await clock.advance(100.0)
    assert timed.times == [0.0, 0.0]
    assert set(broken.times) == {0.0}


async def test_a_disk_that_fails_for_a_moment_at_the_end_shows_the_end(
    tmp_path: Path, clock: FakeClock, on_disk: OnDisk
) -> None:
    path = tmp_path / ".guardkit/autobuild/TASK-1/progress.json"

    async def run() -> None:
        async with track_build("TASK-1", root=tmp_path, clock=clock):
            path.unlink()
            path.mkdir()

    task = asyncio.create_task(run())
    await clock.advance(1.55)
    assert not task.done()
    path.rmdir()
    await clock.advance(0.06)
    assert task.done()
    assert on_disk()["status"] == "completed"
