"""Looks at builds at each change."""

import os
import shutil
import threading
from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from guardkit import InvalidProgressError, track_build
from guardkit.monitor.builds import Builds, Look
from guardkit.progress.snapshot import Metrics, Tracker, encode
from guardkit.testing import FakeClock

from ..looks import START, TRACKER, Counting, Writer, document, feature, task, told, watching

LIMIT = 20.0  # seconds, real ones, until a test that hangs is ended

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]


@pytest.fixture
def writer(tmp_path: Path, clock: FakeClock) -> Writer:
    return Writer(tmp_path, clock)


@pytest.fixture
def builds(tmp_path: Path, clock: FakeClock) -> Builds:
    return Builds(tmp_path, clock=clock)


async def test_a_watch_begins_with_all_and_goes_on_with_each_change(
    tmp_path: Path, builds: Builds, clock: FakeClock
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock):
        pass
    async with track_build("TASK-2", root=tmp_path, clock=clock) as build:
        async with watching(builds, clock) as watched:
            assert watched.told() == [("TASK-1", "completed"), ("TASK-2", "running")]
            async with build.phase("Setup"):
                await clock.advance(0.0)
                [look] = watched.take()
                assert (look.snapshot, look.where) == (build.snapshot, str(tmp_path))
            await clock.advance(0.0)
            assert [each.snapshot and each.snapshot.phase_status for each in watched.take()] == [
                "completed"
            ]


async def test_a_watch_does_not_tell_of_heartbeats(
    tmp_path: Path, builds: Builds, clock: FakeClock
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        async with watching(builds, clock) as watched:
            watched.take()
            await clock.advance(20.0)
            clock.jump(3600.0)
            await clock.advance(20.0)
            assert watched.told() == []
            build.update(message="now")
            await clock.advance(0.1)
            assert watched.told() == [("TASK-1", "running")]


async def test_a_watch_tells_of_documents_without_a_number_when_what_they_say_changes(
    builds: Builds, writer: Writer, clock: FakeClock
) -> None:
    seen = writer.put(document(tracker=Tracker()))
    async with watching(builds, clock) as watched:
        watched.take()
        later = replace(seen, updated_at=START + timedelta(seconds=9))
        writer.put(replace(later, metrics=Metrics(elapsed_seconds=9)))
        await clock.advance(0.0)
        assert watched.told() == []
        writer.put(replace(later, message="new"))
        await clock.advance(0.0)
        assert watched.told() == [("TASK-1", "running")]


async def test_a_watch_tells_of_builds_that_begin_meanwhile(
    tmp_path: Path, builds: Builds, clock: FakeClock
) -> None:
    async with watching(builds, clock) as watched:
        assert watched.told() == []
        async with track_build("TASK-1", root=tmp_path, clock=clock):
            await clock.advance(0.5)
            assert watched.told() == [("TASK-1", "running")]
            async with track_build("TASK-2", root=tmp_path, clock=clock):
                await clock.advance(0.0)
                assert [each for each in watched.told() if each[0] == "TASK-2"][-1:] == [
                    ("TASK-2", "running")
                ]


async def test_a_watch_of_some_tells_of_no_others(
    tmp_path: Path, builds: Builds, clock: FakeClock
) -> None:
    async with watching(builds, clock, "TASK-1") as watched:
        async with track_build("TASK-2", root=tmp_path, clock=clock):
            await clock.advance(0.5)
        assert watched.told() == []
        async with track_build("TASK-1", root=tmp_path, clock=clock):
            await clock.advance(0.0)
            assert watched.told()[-1:] == [("TASK-1", "running")]


@pytest.mark.parametrize("heartbeat", [0.3, 5.0])
async def test_that_a_builder_is_gone_is_told_of_within_half_a_second(
    builds: Builds, writer: Writer, clock: FakeClock, heartbeat: float
) -> None:
    tracker = replace(TRACKER, heartbeat_seconds=heartbeat)
    writer.hold()
    writer.put(writer.own(document(tracker=tracker)))
    async with watching(builds, clock) as watched:
        assert watched.told() == [("TASK-1", "running")]
        writer.let_go()
        await clock.advance(0.4375)
        assert watched.told() == []
        await clock.advance(0.0625)
        assert watched.told() == [("TASK-1", "crashed")]
        await clock.advance(20.0)
        assert watched.told() == []


async def test_what_the_next_builder_notes_of_one_that_is_gone_makes_it_no_better(
    builds: Builds, writer: Writer, clock: FakeClock
) -> None:
    writer.hold()
    seen = writer.put(writer.own(document()))
    async with watching(builds, clock) as watched:
        writer.let_go()
        await clock.advance(0.5)
        assert watched.told()[-1:] == [("TASK-1", "crashed")]
        writer.append("build.started", replace(seen, tracker=replace(TRACKER, run_id="s")))
        await clock.advance(0.0)
        assert watched.told() == []


async def test_that_a_builder_does_not_answer_is_told_of_after_three_heartbeats(
    builds: Builds, writer: Writer, clock: FakeClock
) -> None:
    writer.hold()
    writer.put(writer.own(document()))
    await clock.advance(1.0)
    async with watching(builds, clock) as watched:
        assert watched.told() == [("TASK-1", "running")]
        await clock.advance(14.0)
        assert watched.told() == []
        await clock.advance(0.5)
        [look] = watched.take()
        assert look.verdict.state == "unresponsive"
        assert look.verdict.evidence.startswith("no heartbeat for 15 s (every 5 s is due)")
        writer.put(writer.own(document()))
        await clock.advance(0.0)
        assert watched.told() == [("TASK-1", "running")]


async def test_a_build_elsewhere_is_silent_from_the_watch_s_first_look_on(
    builds: Builds, writer: Writer, clock: FakeClock
) -> None:
    """Whatever the wall clocks of both say."""
    seen = writer.put(document())
    clock.jump(3600.0)
    await clock.advance(100.0)
    assert told(builds.look_now()) == [("TASK-1", "lost")]
    async with watching(builds, clock) as watched:
        assert watched.told() == [("TASK-1", "running")]
        await clock.advance(10.0)
        writer.put(replace(seen, tracker=replace(seen.tracker, beat=5.0)))  # a heartbeat
        await clock.advance(15.0)
        clock.jump(-7200.0)
        assert watched.told() == []
        await clock.advance(0.5)
        [look] = watched.take()
        assert (look.verdict.state, look.verdict.evidence[:20]) == ("lost", "no heartbeat for 15 ")


@pytest.mark.parametrize(
    ("budget", "state", "after"), [(60.0, "overdue", 61.0), (None, "stalled", 101.0)]
)
async def test_what_takes_too_long_is_told_of_though_no_file_changes(
    tmp_path: Path, clock: FakeClock, budget: float | None, state: str, after: float
) -> None:
    builds = Builds(tmp_path, clock=clock, stall_after=100.0)
    async with (
        track_build("TASK-1", root=tmp_path, clock=clock, heartbeat=1000.0) as build,
        build.phase("Slow", budget=budget),
        watching(builds, clock) as watched,
    ):
        watched.take()
        await clock.advance(after)
        assert watched.told() == []
        await clock.advance(0.5)
        assert watched.told() == [("TASK-1", state)]
        await clock.advance(5.0)
        assert watched.told() == []


async def test_a_document_that_cannot_be_read_any_more_is_told_of_and_so_is_the_next(
    builds: Builds, writer: Writer, clock: FakeClock
) -> None:
    seen = writer.put(document())
    async with watching(builds, clock) as watched:
        watched.take()
        writer.put_bytes("TASK-1", b"{")
        await clock.advance(0.0)
        [look] = watched.take()
        assert (look.snapshot, look.verdict.state) == (None, "unreadable")
        await clock.advance(5.0)
        assert watched.told() == []
        writer.put(seen)
        await clock.advance(0.0)
        assert [(look.snapshot, look.verdict.state) for look in watched.take()] == [
            (seen, "running")
        ]


@pytest.mark.parametrize("gone", ["TASK-1/progress.json", "TASK-1", ".", "..", "../.."])
async def test_a_build_whose_files_are_gone_is_lost_if_they_do_not_come_back(
    builds: Builds, writer: Writer, clock: FakeClock, gone: str
) -> None:
    writer.put(document())
    async with watching(builds, clock) as watched:
        watched.take()
        path = (writer.folder / gone).resolve()
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        await clock.advance(15.0)
        assert watched.told() == []
        await clock.advance(0.5)
        assert watched.told() == [("TASK-1", "lost")]


async def test_a_watch_survives_that_all_folders_are_deleted_and_made_again(
    tmp_path: Path, builds: Builds, clock: FakeClock
) -> None:
    async with (
        track_build("TASK-1", root=tmp_path, clock=clock) as build,
        watching(builds, clock) as watched,
    ):
        shutil.rmtree(tmp_path / ".guardkit")
        await clock.advance(10.0)
        watched.take()
        async with build.phase("After"):
            await clock.advance(0.0)
            [look] = watched.take()
            assert look.snapshot == build.snapshot


async def test_a_watch_that_cannot_list_the_builds_is_an_error_at_first(
    tmp_path: Path, builds: Builds
) -> None:
    (tmp_path / ".guardkit").symlink_to("elsewhere")
    with pytest.raises(InvalidProgressError, match="is a link"):
        await anext(builds.watch())


async def test_a_folder_that_becomes_a_link_loses_the_builds(
    tmp_path: Path, builds: Builds, writer: Writer, clock: FakeClock
) -> None:
    writer.put(document())
    async with watching(builds, clock) as watched:
        watched.take()
        os.rename(tmp_path / ".guardkit", tmp_path / "moved")
        (tmp_path / ".guardkit").symlink_to("moved")
        await clock.advance(15.5)
        assert watched.told() == [("TASK-1", "lost")]


async def test_a_task_that_is_taken_anew_is_told_of_before_anything_is_written(
    builds: Builds, writer: Writer, clock: FakeClock
) -> None:
    writer.put(document(status="completed"))
    async with watching(builds, clock) as watched:
        assert watched.told() == [("TASK-1", "completed")]
        writer.hold(run_id="s")
        await clock.advance(0.5)
        [look] = watched.take()
        assert (look.snapshot, look.verdict.evidence) == (
            None,
            "another process has taken TASK-1 and has not written yet",
        )
        await clock.advance(5.0)
        assert watched.told() == []
        new = writer.put(writer.own(document(tracker=replace(TRACKER, run_id="s"))))
        await clock.advance(0.0)
        assert [look.snapshot for look in watched.take()] == [new]


async def test_an_end_that_only_the_journal_has_is_told_of(
    builds: Builds, writer: Writer, clock: FakeClock
) -> None:
    writer.hold()
    writer.put(writer.own(document()))
    async with watching(builds, clock) as watched:
        watched.take()
        end = document(status="cancelled")
        writer.append("build.ended", end)
        writer.let_go()
        await clock.advance(0.5)
        [look] = watched.take()
        assert (look.snapshot, look.verdict.state) == (end, "cancelled")
        assert [event.event for event in look.events] == ["build.ended"]
        await clock.advance(5.0)
        assert watched.told() == []


async def test_the_half_second_reads_what_nobody_has_told_of(
    builds: Builds, writer: Writer, clock: FakeClock
) -> None:
    """As where another machine writes; here the folder is another one than was watched."""
    seen = writer.put(document())
    async with watching(builds, clock) as watched:
        watched.take()
        away = writer.folder.with_name("away")
        shutil.copytree(writer.folder, away)
        os.rename(writer.folder, writer.folder.with_name("old"))
        os.rename(away, writer.folder)
        writer.put(replace(seen, message="new"))
        await clock.advance(0.4375)
        assert watched.told() == []
        await clock.advance(0.0625)
        assert watched.told() == [("TASK-1", "running")]
        writer.put(replace(seen, message="newer"))
        await clock.advance(0.0)
        assert watched.told() == [("TASK-1", "running")]


async def test_in_a_watch_nothing_is_read_that_has_not_changed(
    tmp_path: Path, writer: Writer, clock: FakeClock
) -> None:
    """Be it well, over, gone or silent."""
    writer.hold("TASK-1")
    writer.put(writer.own(document("TASK-1", tracker=replace(TRACKER, heartbeat_seconds=1.0))))
    writer.put(document("TASK-2", status="completed"))
    writer.put(writer.own(document("TASK-3")))
    seen = writer.put(document("TASK-4", tracker=replace(TRACKER, heartbeat_seconds=1.0)))
    builds = Counting(tmp_path, clock)
    async with watching(builds, clock) as watched:
        await clock.advance(10.0)
        states = dict(watched.told())
        assert states == {
            "TASK-1": "unresponsive",
            "TASK-2": "completed",
            "TASK-3": "crashed",
            "TASK-4": "lost",
        }
        builds.decoded = 0
        await clock.advance(10.0)
        assert builds.decoded == 0
        writer.put(replace(seen, message="new"))
        await clock.advance(0.0)
        assert builds.decoded == 1


async def test_a_watch_of_some_reads_no_others(
    tmp_path: Path, writer: Writer, clock: FakeClock
) -> None:
    writer.put(document())
    builds = Counting(tmp_path, clock)
    async with watching(builds, clock, "TASK-1"):
        writer.put(document("TASK-2"))
        await clock.advance(1.0)
        assert builds.decoded == 1


async def test_what_is_told_of_is_read_though_the_file_looks_as_before(
    builds: Builds, writer: Writer, clock: FakeClock
) -> None:
    """Inodes are used again, and a filesystem's clock may tick slowly."""
    seen = writer.put(document(message="old"))
    path = f"{writer.folder}/TASK-1/progress.json"
    async with watching(builds, clock) as watched:
        watched.take()
        before = os.stat(path)
        fd = os.open(path, os.O_WRONLY)
        os.write(fd, encode(replace(seen, message="new")))
        os.utime(fd, ns=(before.st_atime_ns, before.st_mtime_ns))
        os.close(fd)
        await clock.advance(0.0)
        assert [look.snapshot and look.snapshot.message for look in watched.take()] == ["new"]


async def test_many_builds_are_looked_at_in_turns(
    builds: Builds, writer: Writer, clock: FakeClock
) -> None:
    seen = [writer.put(document(f"TASK-{number}")) for number in range(100)]
    async with watching(builds, clock) as watched:
        assert len(watched.take()) == 100
        await clock.advance(0.0025)
        writer.put(replace(seen[0], message="1"))
        await clock.advance(0.0)
        assert watched.told() == [("TASK-0", "running")]
        writer.put(replace(seen[1], message="2"))
        await clock.advance(0.0024)
        writer.put(replace(seen[2], message="3"))
        assert watched.told() == []
        await clock.advance(0.0002)
        assert sorted(watched.told()) == [("TASK-1", "running"), ("TASK-2", "running")]


def count_ears() -> int:
    """Return how many descriptors the kernel tells of changes."""
    ears = 0
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            ears += "inotify" in os.readlink(f"/proc/self/fd/{name}")
    return ears


async def test_nothing_is_left_of_a_watch(
    tmp_path: Path, writer: Writer, builds: Builds, clock: FakeClock
) -> None:
    writer.put(document())
    threads, before = {*threading.enumerate()}, count_ears()
    async with watching(builds, clock):
        [thread] = {*threading.enumerate()} - threads
        assert count_ears() == before + 1
    thread.join(LIMIT)
    assert (thread.is_alive(), count_ears()) == (False, before)


# a watch of features


async def test_the_verdict_on_a_feature_changes_with_that_on_its_tasks(
    builds: Builds, writer: Writer, clock: FakeClock
) -> None:
    writer.put(feature())
    async with watching(builds, clock, "FEAT-1") as watched:
        assert watched.told() == [("FEAT-1", "running")]
        writer.put(task("TASK-1", 2000))
        await clock.advance(0.5)
        [look] = watched.take()
        assert look.verdict == ("stalled", "TASK-1: no activity for 2000 s")
        writer.put(task("TASK-1", 5))
        await clock.advance(0.0)
        assert watched.told() == [("FEAT-1", "running")]
        writer.put(task("TASK-1", 2000, status="failed"))
        await clock.advance(0.5)
        assert watched.told() == []


async def test_in_a_watch_of_all_a_feature_is_told_of_with_its_tasks(
    builds: Builds, writer: Writer, clock: FakeClock
) -> None:
    writer.put(feature())
    writer.put(task("TASK-1", 5))
    async with watching(builds, clock) as watched:
        assert watched.told() == [("FEAT-1", "running"), ("TASK-1", "running")]
        writer.put(task("TASK-1", 2000))
        await clock.advance(0.0)
        assert watched.told() == [("FEAT-1", "stalled"), ("TASK-1", "stalled")]
        writer.put(task("TASK-1", 2000, status="completed"))
        await clock.advance(0.0)
        assert watched.told() == [("FEAT-1", "running"), ("TASK-1", "completed")]


# the transitions in a watch


def events(looks: Iterable[Look]) -> list[list[tuple[str, str]]]:
    return [[(event.run_id, event.event) for event in look.events] for look in looks]


async def test_a_look_has_the_transitions_since_the_one_before(
    tmp_path: Path, builds: Builds, clock: FakeClock
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        async with watching(builds, clock) as watched:
            assert [look.events for look in watched.take()] == [()]
            async with build.turn(), build.phase("Setup"):
                pass
            await clock.advance(0.0)
            names = ("turn.started", "phase.started", "phase.ended", "turn.ended")
            run_id = build.snapshot.tracker.run_id
            found = [event for look in events(watched.take()) for event in look]
            assert found == [(run_id, name) for name in names]


@pytest.mark.parametrize("past", [True, False])
async def test_of_the_past_all_of_the_present_run_is_told_or_nothing(
    builds: Builds, writer: Writer, clock: FakeClock, past: bool
) -> None:
    seen = writer.put(document())
    writer.append("build.started", document(tracker=replace(TRACKER, run_id="before")))
    writer.append("build.started", seen)
    writer.append("turn.started", seen)
    async with watching(builds, clock, past=past) as watched:
        history = [("r", "build.started"), ("r", "turn.started")]
        assert events(watched.take()) == [history if past else []]
        writer.append("decided", seen)
        writer.put(replace(seen, decision="approve"))
        await clock.advance(0.0)
        assert events(watched.take()) == [[("r", "decided")]]


async def test_of_a_build_that_begins_meanwhile_all_is_told(
    tmp_path: Path, builds: Builds, clock: FakeClock
) -> None:
    async with watching(builds, clock) as watched:
        async with track_build("TASK-1", root=tmp_path, clock=clock):
            await clock.advance(0.5)
            [[(_, name)]] = events(watched.take())
            assert name == "build.started"


async def test_what_the_journal_has_of_a_later_run_waits_for_its_document(
    builds: Builds, writer: Writer, clock: FakeClock
) -> None:
    seen = writer.put(document())
    async with watching(builds, clock) as watched:
        watched.take()
        new = document(tracker=replace(TRACKER, run_id="s"))
        writer.append("build.ended", seen)
        writer.append("build.started", new)
        writer.put(replace(seen, status="completed"))
        await clock.advance(0.0)
        assert events(watched.take()) == [[("r", "build.ended")]]
        writer.put(new)
        await clock.advance(0.0)
        assert events(watched.take()) == [[("s", "build.started")]]


async def test_the_end_of_a_run_is_told_of_though_the_next_one_has_begun(
    builds: Builds, writer: Writer, clock: FakeClock
) -> None:
    seen = writer.put(document())
    async with watching(builds, clock) as watched:
        watched.take()
        new = document(tracker=replace(TRACKER, run_id="s"))
        writer.append("build.ended", seen)
        writer.append("build.started", new)
        writer.put(new)
        await clock.advance(0.0)
        assert events(watched.take()) == [[("r", "build.ended"), ("s", "build.started")]]
