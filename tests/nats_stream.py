"""What a server has of builds, read by nats-py alone, and held against the journals."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import nats
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.errors import NotFoundError

from guardkit import Event, InvalidProgressError, Snapshot, read_events
from guardkit.progress.snapshot import decode, decode_event
from guardkit.testing import FakeClock

from .nats_server import NatsServer

DOCUMENTS, STATUS = "GUARDKIT_BUILDS", "guardkit.builds.*.status"
EVENTS, OF_RUNS = "GUARDKIT_EVENTS", "guardkit.builds.*.events.*"
PATIENCE, QUIET = 60.0, 2.0  # seconds in all, and until the next message
POLL = 0.02  # seconds between two looks
STEP = 0.01  # seconds by which a fake clock is moved on in between


class Sent(NamedTuple):
    """An event, and where it stands. number: in the stream."""

    project: str
    task_id: str
    number: int
    event: Event


class Document(NamedTuple):
    """The document of a task. snapshot: None where it is none."""

    number: int
    headers: dict[str, str]
    snapshot: Snapshot | None

    @property
    def run_id(self) -> str:
        """The run that it shows."""
        return self.snapshot.tracker.run_id if self.snapshot else ""


class Found(NamedTuple):
    """What both streams have.

    events: in the order of their stream; what is no event is passed over.
    documents: by project and task.
    """

    events: list[Sent]
    documents: dict[tuple[str, str], Document]

    def document(self, task_id: str = "TASK-1", project: str = "") -> Document:
        """Return the document of a task."""
        return self.documents[project, task_id]

    def snapshot(self, task_id: str = "TASK-1", project: str = "") -> Snapshot:
        """Return what the document of a task shows."""
        snapshot = self.document(task_id, project).snapshot
        assert snapshot
        return snapshot

    def names(self, task_id: str = "TASK-1") -> list[str]:
        """Return what has happened to a task, in the order of the stream."""
        return [each.event.event for each in self.events if each.task_id == task_id]

    def runs(self, task_id: str = "TASK-1", project: str = "") -> list[str]:
        """Return the runs of a task that have events, in the order of the stream."""
        theirs = [each for each in self.events if each[:2] == (project, task_id)]
        return list(dict.fromkeys(each.event.run_id for each in theirs))


async def read_streams(server: NatsServer) -> Found:
    """Return what both streams have; a server that has no leader yet is asked again."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return await _read_streams(server)
        except nats.errors.TimeoutError:
            if time.monotonic() > end:
                raise


async def _read_streams(server: NatsServer) -> Found:
    client = await nats.connect(server.url)
    try:  # the documents first: the events that came before them are there, then
        documents = {_place(each)[:2]: _document(each) for each in await _all(client, DOCUMENTS)}
        events: list[Sent] = []
        for raw in await _all(client, EVENTS):
            project, task_id, run_id = _place(raw)
            event = decode_event(raw.data)
            if event and event.run_id == run_id:
                events.append(Sent(project, task_id, raw.metadata.sequence.stream, event))
        return Found(events, documents)
    finally:
        await client.close()


async def _all(client: Client, stream: str) -> list[Msg]:
    """Return all messages of a stream, none where there is none yet."""
    subjects = {DOCUMENTS: STATUS, EVENTS: OF_RUNS}[stream]
    js = client.jetstream()
    try:
        if not (await js.stream_info(stream)).state.messages:
            return []
        subscription = await js.subscribe(subjects, stream=stream, ordered_consumer=True)
    except NotFoundError:
        return []
    found: list[Msg] = []
    while not found or found[-1].metadata.num_pending:
        found.append(await subscription.next_msg(QUIET))
    return found


def _place(raw: Msg) -> tuple[str, str, str]:
    """Return project, task and run of a subject."""
    token, *rest = raw.subject.split(".")[2:]
    project, _, task_id = token.replace("%2E", ".").rpartition(":")
    return project, task_id, rest[-1]


def _document(raw: Msg) -> Document:
    try:
        snapshot = decode(raw.data)
    except InvalidProgressError:
        snapshot = None
    return Document(raw.metadata.sequence.stream, raw.headers or {}, snapshot)


def differences(
    found: Found, *roots: Path, private: Collection[str] = (), project: str = ""
) -> list[str]:
    """Return what is not as the journals below the roots tell.

    Each event of each run is there once and in order, and the document of a task is the newest one,
    of the latest run below one of the roots. Of the runs that are `private`, nothing is there.
    """
    wrong = [*_doubled(found)]
    latest: dict[str, list[Event]] = {}
    sent: dict[tuple[str, str], list[Event]] = {}
    for each in found.events:
        if each.project == project:
            sent.setdefault((each.task_id, each.event.run_id), []).append(each.event)
    for task_id, journal in (each for root in roots for each in _journals(root)):
        for run_id, told in journal.items():
            heard = sent.get((task_id, run_id), [])
            wanted = [] if run_id in private else told
            if heard != wanted:
                what = _first_difference([*map(_name, wanted)], [*map(_name, heard)])
                wrong.append(f"{task_id}, run {run_id}: {what}")
        if lasts := [events[-1] for run_id, events in journal.items() if run_id not in private]:
            latest.setdefault(task_id, []).append(lasts[-1])
    for task_id, ends in latest.items():
        document = found.documents.get((project, task_id))
        shown = document and document.snapshot
        if not shown or not any(_shows(shown, end) for end in ends):
            seen = (shown.tracker.run_id, shown.tracker.seq, shown.status) if shown else document
            wrong.append(f"{task_id}: the document is {seen}, not of {_names(ends)}")
    return wrong


def _journals(root: Path) -> Iterator[tuple[str, dict[str, list[Event]]]]:
    """Yield each task below a root, and the events of each of its runs."""
    for path in root.glob(".guardkit/autobuild/*/"):
        runs: dict[str, list[Event]] = {}
        try:
            for event in read_events(path.name, root=root):
                runs.setdefault(event.run_id, []).append(event)
        except InvalidProgressError:  # of what is no build
            continue
        yield path.name, runs


def _doubled(found: Found) -> Iterator[str]:
    """Yield what is there twice, or in another order than it happened."""

    def run(sent: Sent) -> tuple[str, str, str]:
        return sent.project, sent.task_id, sent.event.run_id

    for place, group in groupby(sorted(found.events, key=run), key=run):
        names = [*map(_name, (each.event for each in group))]
        if len({*names}) < len(names) or names != sorted(names, key=lambda name: name[0]):
            yield f"{place}: {names}"


def _shows(shown: Snapshot, last: Event) -> bool:
    """Return whether a document is not behind an event, the last one of its run."""
    if last.progress.terminal:
        return shown == last.progress
    return shown.tracker.run_id == last.run_id and shown.tracker.seq >= last.seq


def _name(event: Event) -> tuple[int, str]:
    return event.seq, event.event


def _names(events: list[Event]) -> list[tuple[str, int, str]]:
    return [(event.run_id, *_name(event)) for event in events]


def _first_difference(told: list[tuple[int, str]], heard: list[tuple[int, str]]) -> str:
    for number, (one, other) in enumerate(zip(told, heard, strict=False)):
        if one != other:
            return f"the stream has {other} in place of {one} at {number}"
    if len(told) == len(heard):
        return "the stream has other documents in its events than the journal"
    return f"the journal has {len(told)} events, the stream {len(heard)}"


async def until_whole(
    server: NatsServer,
    *roots: Path,
    private: Collection[str] = (),
    project: str = "",
    clock: FakeClock | None = None,
    patience: float = PATIENCE,
) -> Found:
    """Return what the streams have, as soon as it is as the journals below the roots tell.

    clock: the publisher's, which is moved on meanwhile.
    patience: seconds after which it fails.
    """
    end = time.monotonic() + patience
    while True:
        if clock:
            await clock.advance(STEP)
        found = await read_streams(server)
        wrong = differences(found, *roots, private=private, project=project)
        if not wrong:
            return found
        assert time.monotonic() < end, wrong
        await asyncio.sleep(POLL)


async def until_none(wrong: Callable[[], Awaitable[object]]) -> None:
    """Return when nothing is wrong any more."""
    end = time.monotonic() + PATIENCE
    while found := await wrong():
        assert time.monotonic() < end, found
        await asyncio.sleep(POLL)


async def until(
    condition: Callable[[], Awaitable[object]],
    *,
    clock: FakeClock | None = None,
    patience: float = PATIENCE,
) -> None:
    """Return when the condition holds.

    clock: is moved on meanwhile. patience: seconds after which it fails.
    """
    end = time.monotonic() + patience
    while not await condition():
        if clock:
            await clock.advance(STEP)
        assert time.monotonic() < end
        await asyncio.sleep(POLL)
