"""Builds on a NATS server, as anybody looks at them: the second kind of `Builds`."""

import logging
from collections.abc import AsyncGenerator, Collection, Iterable
from contextlib import aclosing
from datetime import datetime
from functools import partial

from guardkit.clock import SYSTEM_CLOCK, Clock
from guardkit.errors import NatsError
from guardkit.monitor.evidence import check_ids
from guardkit.monitor.look import Look
from guardkit.nats.board import Board, read_event
from guardkit.nats.client import Client
from guardkit.nats.feed import FILTERS_MAX, TICK, WAITING_MAX, Feed, Place, Queue, take_next
from guardkit.nats.heard import Heard
from guardkit.nats.jetstream import Message, find_last
from guardkit.nats.line import connected, pauses
from guardkit.nats.settings import find_project, find_settings
from guardkit.nats.streams import (
    DOCUMENTS,
    EVENTS,
    Stream,
    ensure_streams,
    events_subject,
    status_subject,
)
from guardkit.progress.paths import check_task_id
from guardkit.progress.snapshot import Event

log = logging.getLogger("guardkit.progress")

LOOK_MAX = 10_000  # builds of which all are shown


class NatsBuilds:
    """The builds of all machines that publish to a server.

    url: of the NATS server; by default that in NATS_URL, else of the selected context of the `nats`
        command.
    project: tells the builds of several repositories apart; by default that in GUARDKIT_PROJECT;
        `""`: none.
    stall_after: seconds without activity that make a build stalled.
    clock: by default the machine's.
    Raises NatsError for an invalid URL or context, and MisuseError for what is no project.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        project: str | None = None,
        stall_after: float = 1800.0,
        clock: Clock | None = None,
    ) -> None:
        self._settings = find_settings(url)
        self.project = find_project(project)
        self._stall_after = stall_after
        self.clock = clock or SYSTEM_CLOCK
        self.where = str(self._settings)

    async def look(self, task_ids: str | Iterable[str] = ()) -> list[Look]:
        """Return a look at each of some builds, by default of all; those without one are left out.

        In the order of the ids. Raises NatsError, and InvalidTaskIdError.
        """
        wanted = check_ids(task_ids)
        async with connected(self._settings, self.clock) as client:
            board, heard = self._board(wanted), Heard(self.clock)
            follow = self._follow(client, board, Place(), wanted, heard, past=False)
            async with aclosing(follow) as batches:
                found = {look.task_id: look for look in await anext(batches)}
        return [found[name] for name in wanted or found if name in found]

    async def events(self, task_id: str) -> list[Event]:
        """Return the events of a task that the server still has, run by run, oldest first.

        Raises NatsError, and InvalidTaskIdError.
        """
        subject = events_subject(check_task_id(task_id), "*", self.project)
        async with connected(self._settings, self.clock) as client:
            await ensure_streams(client)
            runs: dict[str, list[Event]] = {}
            for event in await self._read_events(client, [subject]):
                runs.setdefault(event.run_id, []).append(event)
        return [event for events in runs.values() for event in events]

    def watch(
        self, task_ids: str | Iterable[str] = (), *, past: bool = False
    ) -> AsyncGenerator[Look]:
        """Yield a look at each of some builds, by default of all, then at each change, for ever.

        A change is one of the snapshot, heartbeats aside, or of the verdict's state. Builds that
        begin meanwhile are told of, too. A server that is lost later on is waited for.

        past: whether the first look at a build has the events of its run until then.
        Raises InvalidTaskIdError at once, and NatsError where it cannot even begin.
        """
        return self._watch(check_ids(task_ids), past=past)

    async def _watch(self, wanted: list[str], *, past: bool) -> AsyncGenerator[Look]:
        board, place, waits = self._board(wanted), Place(), pauses()
        heard = Heard(self.clock)
        begun = lost = False
        while True:
            try:
                async with connected(self._settings, self.clock) as client:
                    follow = self._follow(client, board, place, wanted, heard, past=past)
                    async with aclosing(follow) as batches:
                        async for looks in batches:
                            if lost:
                                log.warning("watching again, over %s", client.server)
                            begun, lost, past, waits = True, False, False, pauses()
                            for look in looks:
                                yield look
            except Exception as error:  # whatever nats-py comes upon
                if not begun:
                    raise
                if not lost:
                    log.warning("watching waits, and continues by itself: %s", error)
                lost = True
            board.lose(heard.seconds())
            await self.clock.sleep(next(waits))

    async def _follow(
        self,
        client: Client,
        board: Board,
        place: Place,
        wanted: list[str],
        heard: Heard,
        *,
        past: bool,
    ) -> AsyncGenerator[list[Look]]:
        """Yield the looks that are new, over one connection; raises NatsError when it is lost.

        place: how far the events were read.
        wanted: the ids of tasks; as soon as a feature among them runs, all are read.
        heard: tells the board's time.
        past: as for `watch`.
        """
        await ensure_streams(client)
        queue, clock = Queue(WAITING_MAX), self.clock

        def take(stream: Stream, message: Message, time: datetime | None = None) -> None:
            board.take(stream, message, heard.seconds(), time=time)

        while True:
            asked = [] if board.needs_tasks else wanted
            events = Feed(client, EVENTS, queue, place, self._subjects(EVENTS, asked))
            documents = Feed(client, DOCUMENTS, queue, None, self._subjects(DOCUMENTS, asked))
            async with events, documents:
                board.join(heard.seconds(), afresh=events.afresh)
                if not (wanted or self.project) and documents.awaited > LOOK_MAX:
                    raise NatsError(
                        f"{documents.awaited} builds are on {client.server}: give the ids of "
                        "those that are meant, or a project"
                    )
                await documents.read_past(partial(take, time=documents.time))
                if asked and board.needs_tasks:
                    continue
                await self._ask_of_others(client, board)
                if past:
                    await self._add_history(client, board, wanted)
                yield board.tell(heard.seconds(), all_=True)
                past, tick = False, clock.monotonic() + TICK
                while not (asked and board.needs_tasks):
                    await take_next(client, queue, take)
                    events.check()
                    documents.check()
                    is_time = clock.monotonic() >= tick
                    tick += TICK * is_time
                    await self._ask_of_others(client, board)
                    yield board.tell(heard.seconds(), all_=is_time)

    async def _add_history(self, client: Client, board: Board, wanted: list[str]) -> None:
        """Bring the events of the runs that are shown to a board, if these are not too many."""
        runs = {
            events_subject(name, shown.tracker.run_id, self.project): name
            for name, shown in board.shown().items()
            if name in wanted or not (wanted or shown.terminal)
        }
        if len(runs) <= FILTERS_MAX:
            events = await self._read_events(client, [*runs])
            for name in runs.values():
                board.take_history(name, [e for e in events if e.progress.task_id == name])

    async def _read_events(self, client: Client, subjects: list[str]) -> list[Event]:
        """Return what the stream has of some subjects; raises NatsError."""
        found: dict[Event, None] = {}

        def take(_: Stream, message: Message) -> None:
            if event := read_event(message, self.project):
                found[event] = None

        if subjects:
            async with Feed(client, EVENTS, Queue(WAITING_MAX), Place(0), subjects) as feed:
                await feed.read_past(take)
        return [*found]

    async def _ask_of_others(self, client: Client, board: Board) -> None:
        """Find out whether other builders, which are said to have a task, have left an end."""
        while board.others:
            task_id, run_id = board.others.pop()
            subject = events_subject(task_id, run_id, self.project)
            message = await find_last(client, EVENTS.name, subject)
            event = message and read_event(message, self.project)
            if event and event.progress.terminal:
                board.end(task_id, run_id)

    def _board(self, wanted: list[str]) -> Board:
        return Board(self.where, self.project, wanted, stall_after=self._stall_after)

    def _subjects(self, stream: Stream, task_ids: Collection[str]) -> list[str]:
        if stream is DOCUMENTS:
            return [status_subject(each, self.project) for each in task_ids]
        return [events_subject(each, "*", self.project) for each in task_ids]
