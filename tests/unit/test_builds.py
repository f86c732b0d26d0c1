"""Looks at builds: one at each."""

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from msgspec.structs import replace

import guardkit
from guardkit import (
    InvalidProgressError,
    InvalidTaskIdError,
    Snapshot,
    assess,
    track_build,
)
from guardkit.monitor import brief
from guardkit.monitor.builds import Builds
from guardkit.monitor.look import Look
from guardkit.testing import FakeClock

from ..looks import TRACKER, Counting, Decoding, Writer, document, task, told

LIMIT = 20.0  # seconds, real ones, until a test that hangs is ended

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]


async def test_a_look_has_document_verdict_and_place(tmp_path: Path, clock: FakeClock) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        [look] = await Builds(tmp_path, clock=clock).look()
        assert look == Look("TASK-1", build.snapshot, look.verdict, str(tmp_path))
        assert look.verdict == ("running", "last activity 0 s ago")


async def test_builds_are_looked_at_in_the_order_of_the_ids_or_of_their_names(
    tmp_path: Path, writer: Writer, clock: FakeClock
) -> None:
    for task_id in ("TASK-2", "TASK-10", "TASK-1"):
        writer.put(document(task_id))
    builds = Builds(tmp_path, clock=clock)
    assert [look.task_id for look in await builds.look()] == ["TASK-1", "TASK-10", "TASK-2"]
    ids = ["TASK-2", "TASK-1", "TASK-2", "TASK-3"]
    assert [look.task_id for look in await builds.look(ids)] == ["TASK-2", "TASK-1"]


@pytest.mark.parametrize("ids", [[], ["TASK-1"]], ids=["all", "one"])
@pytest.mark.parametrize("folder", ["", ".guardkit", ".guardkit/autobuild/TASK-1"])
async def test_where_nothing_was_built_there_is_no_look(
    tmp_path: Path, clock: FakeClock, folder: str, ids: list[str]
) -> None:
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    assert await Builds(tmp_path, clock=clock).look(ids) == []
    assert await Builds(tmp_path / "nowhere", clock=clock).look(ids) == []


async def test_what_is_no_task_id_is_refused(tmp_path: Path) -> None:
    builds = Builds(tmp_path)
    with pytest.raises(InvalidTaskIdError):
        builds.look_now(["TASK-1", "../TASK-1"])
    with pytest.raises(InvalidTaskIdError):
        await builds.look(["../TASK-1"])
    with pytest.raises(InvalidTaskIdError):
        await builds.events("../TASK-1")
    with pytest.raises(InvalidTaskIdError):
        await anext(builds.watch(["../TASK-1"]))


async def test_one_text_is_one_id(tmp_path: Path, writer: Writer, clock: FakeClock) -> None:
    for task_id in ("TASK-1", "T"):
        writer.put(document(task_id))
    builds = Builds(tmp_path, clock=clock)
    assert told(builds.look_now("TASK-1")) == [("TASK-1", "running")]
    assert told(await builds.look("TASK-1")) == [("TASK-1", "running")]
    watch = builds.watch("TASK-1")
    assert (await anext(watch)).task_id == "TASK-1"
    await watch.aclose()
    with pytest.raises(InvalidTaskIdError):
        builds.look_now("../T")


async def test_a_bad_build_costs_its_own_row(
    tmp_path: Path, writer: Writer, clock: FakeClock
) -> None:
    writer.put(document("TASK-1"))
    writer.put_bytes("TASK-2", b"{")
    (writer.folder / "TASK-3").symlink_to("TASK-1")
    (writer.folder / "TASK-4/progress.json").mkdir(parents=True)
    (writer.folder / "TASK-5").touch()  # is no build
    (writer.folder / "TASK-6").mkdir()
    os.mkfifo(writer.folder / "TASK-6/progress.json")
    looks = await Builds(tmp_path, clock=clock).look()
    bad = [(f"TASK-{n}", "unreadable") for n in (2, 3, 4, 6)]
    assert told(looks) == [("TASK-1", "running"), *bad]
    assert [look.snapshot is None for look in looks] == [False, True, True, True, True]
    for look, reason in zip(
        looks[1:], ("not a progress", "is a link", "regular", "regular"), strict=True
    ):
        assert look.verdict.evidence.startswith(f"{writer.folder}/{look.task_id}")
        assert reason in look.verdict.evidence


@pytest.mark.parametrize("ids", [[], ["TASK-1"]], ids=["all", "one"])
async def test_builds_that_cannot_be_listed_are_an_error(
    tmp_path: Path, clock: FakeClock, ids: list[str]
) -> None:
    (tmp_path / ".guardkit").symlink_to("elsewhere")
    with pytest.raises(InvalidProgressError, match="is a link, which guardkit does not follow"):
        await Builds(tmp_path, clock=clock).look(ids)


@pytest.mark.parametrize("ids", [[], ["TASK-1"]], ids=["all", "one"])
async def test_a_task_that_was_taken_and_has_no_document_yet_is_running(
    tmp_path: Path, writer: Writer, clock: FakeClock, ids: list[str]
) -> None:
    writer.hold()
    (writer.folder / "TASK-1").mkdir()
    [look] = await Builds(tmp_path, clock=clock).look(ids)
    assert (look.snapshot, look.verdict.state) == (None, "running")
    assert look.verdict.evidence == "another process has taken TASK-1 and has not written yet"


async def test_a_document_of_the_run_before_is_not_shown_for_that_of_who_has_taken_the_task(
    tmp_path: Path, writer: Writer, clock: FakeClock
) -> None:
    writer.put(document(status="completed"))
    writer.hold(run_id="another")
    [look] = await Builds(tmp_path, clock=clock).look()
    assert (look.snapshot, look.verdict.state) == (None, "running")


async def test_an_end_that_only_the_journal_has_is_shown_with_its_document(
    tmp_path: Path, writer: Writer, clock: FakeClock
) -> None:
    writer.hold()
    writer.put(writer.own(document()))
    writer.let_go()
    end = document(status="failed", error="no")
    writer.append("build.ended", end)
    [look] = await Builds(tmp_path, clock=clock).look()
    assert (look.snapshot, look.verdict) == (end, ("failed", "ended after 0 s: no"))


async def test_without_a_clock_the_machine_s_is_used(tmp_path: Path) -> None:
    async with track_build("TASK-1", root=tmp_path):
        assert told(Builds(tmp_path).look_now()) == [("TASK-1", "running")]


async def test_the_working_folder_is_looked_at_unless_another_is_given(
    tmp_path: Path, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.put(document())
    monkeypatch.chdir(tmp_path)
    [look] = Builds().look_now()
    assert look.where == str(tmp_path)


@pytest.mark.parametrize(("idle", "state"), [(1801, "running"), (1802, "stalled")])
async def test_thirty_minutes_may_pass_without_activity_unless_the_reader_says_otherwise(
    tmp_path: Path, writer: Writer, clock: FakeClock, idle: float, state: str
) -> None:
    seen = writer.put(task("TASK-1", idle))
    assert told(Builds(tmp_path, clock=clock).look_now()) == [("TASK-1", state)]
    assert assess(seen, root=tmp_path, clock=clock).state == state
    assert brief.look(tmp_path, clock=clock)["TASK-1"][1].state == state


async def test_how_long_may_pass_without_activity_is_up_to_the_reader(
    tmp_path: Path, writer: Writer, clock: FakeClock
) -> None:
    writer.hold()
    writer.put(writer.own(document()))
    await clock.advance(12.0)
    builds = Builds(tmp_path, clock=clock, stall_after=10.0)
    assert told(builds.look_now()) == [("TASK-1", "stalled")]
    assert brief.look(tmp_path, stall_after=10.0, clock=clock)["TASK-1"][1].state == "stalled"
    [look] = builds.look_now()
    assert look.snapshot
    assert assess(look.snapshot, root=tmp_path, stall_after=10.0, clock=clock).state == "stalled"


async def test_a_build_that_does_not_stand_still_is_judged_all_the_same(
    tmp_path: Path, writer: Writer, clock: FakeClock
) -> None:
    """Each read finds another document, and the build seems to be lost."""
    writer.put(document())
    clock.jump(3600.0)
    reads: list[Snapshot] = []

    def read(_: bytes) -> Snapshot:
        reads.append(document(tracker=replace(TRACKER, seq=len(reads))))
        return reads[-1]

    assert told(Decoding(tmp_path, clock, read).look_now()) == [("TASK-1", "lost")]
    assert 2 < len(reads) < 20


async def test_trouble_is_believed_when_the_document_stands_still_between_two_looks(
    tmp_path: Path, writer: Writer, clock: FakeClock
) -> None:
    writer.put(document())
    clock.jump(3600.0)
    builds = Counting(tmp_path, clock)
    assert told(builds.look_now()) == [("TASK-1", "lost")]
    assert builds.decoded == 2


@pytest.mark.parametrize(("torn", "state"), [(1, "running"), (2, "unreadable")])
async def test_a_document_is_unreadable_if_it_is_so_twice(
    tmp_path: Path, writer: Writer, clock: FakeClock, torn: int, state: str
) -> None:
    """As other programs write, who replace no files."""
    writer.put(document())
    builds = Counting(tmp_path, clock, torn=torn)
    assert told(builds.look_now()) == [("TASK-1", state)]


async def test_a_build_that_lives_is_not_taken_for_ended_by_its_journal(
    builds: Builds, writer: Writer
) -> None:
    writer.hold()
    writer.put(writer.own(document()))
    writer.append("build.ended", document(status="completed"))
    assert told(builds.look_now()) == [("TASK-1", "running")]


async def test_the_journal_of_a_task_is_read(tmp_path: Path, clock: FakeClock) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        pass
    builds = Builds(tmp_path, clock=clock)
    assert [event.event for event in await builds.events("TASK-1")] == [
        "build.started",
        "build.ended",
    ]
    assert await builds.events("TASK-2") == []


async def test_a_look_at_once_does_not_wait_for_asyncio(tmp_path: Path, writer: Writer) -> None:
    writer.put(document())
    program = """
import sys
from guardkit.monitor.builds import Builds
assert len(Builds(sys.argv[1]).look_now()) == 1
print(sorted({"asyncio", "aiofiles", "anyio", "ctypes", "nats"} & sys.modules.keys()))
"""
    home = str(Path(guardkit.__file__).parents[1])
    command = (sys.executable, "-c", program, str(tmp_path))
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=home)
    assert (done.stdout, done.stderr) == ("[]\n", "")


async def test_a_mount_that_hangs_holds_up_neither_the_loop_nor_who_gives_up(
    tmp_path: Path, writer: Writer
) -> None:
    seen, mended = writer.put(document()), threading.Event()
    clock = FakeClock(hung_after=0.0)

    def hang(_: bytes) -> Snapshot:
        mended.wait(LIMIT)
        return seen

    builds = Decoding(tmp_path, clock, hang)
    look = asyncio.create_task(builds.look())
    await clock.advance(1.0)
    assert not look.done()
    look.cancel()
    await asyncio.wait({look})
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "guardkit")
    mended.set()
