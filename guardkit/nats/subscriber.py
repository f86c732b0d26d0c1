"""Watching builds from anywhere: what is there at once, then each newer state, across outages.

A consumer of the stream lives as long as its connection. What it misses shows in its numbers, and
then both are thrown away as after any other failure: the next one goes on behind the last message.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Collection
from typing import Self

from guardkit.errors import NatsError, ProgressNotFoundError
from guardkit.nats.connection import connect, pauses
from guardkit.nats.messages import Messages, News, Place
from guardkit.nats.settings import Settings, find_settings
from guardkit.nats.stream import explained
from guardkit.progress.snapshot import Snapshot

log = logging.getLogger("guardkit.progress")

PATIENCE = 30.0  # seconds in which all that is there has to come


async def follow(task_id: str, url: str | None = None) -> AsyncGenerator[Snapshot]:
    """Yield the snapshots of one build, wherever it runs: the newest at once, then each later one.

    Ends with the terminal snapshot. A server that is lost later on is waited for.

    task_id: the task.
    url: of the NATS server; by default that in NATS_URL, or of the selected context of the `nats`
        command.
    Raises ProgressNotFoundError, NatsError and InvalidTaskIdError at the first look.
    """
    settings, known = find_settings(url), False
    async with Subscription(settings, [task_id]) as subscription:
        news: News | None = None
        while not (news and news[0].terminal):
            if news := await subscription.next():
                known = True
                yield news[0]
            elif not known:
                raise ProgressNotFoundError(f"no build of {task_id} is known on {settings}")


class Subscription:
    """The newest snapshot of each of some builds, by default of all, then each newer one.

    A transition comes with its event. With `history` all those that the stream still has come
    first, and those of a run that began earlier than another one, too: they are news, but its
    snapshot is not. Messages that are none of ours are passed over. All that is there has to come
    within `patience` seconds.
    """

    def __init__(
        self,
        settings: Settings,
        task_ids: Collection[str] = (),
        *,
        history: bool = False,
        patience: float = PATIENCE,
    ) -> None:
        self._settings = settings
        self._patience = patience
        self.place = Place(task_ids, history=history)
        self._messages: Messages | None = None
        self._waits = pauses()
        self._lost = False

    async def __aenter__(self) -> Self:
        self._limit = asyncio.get_running_loop().time() + self._patience
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._drop()

    async def next(self) -> News | None:
        """Return what comes next, and None once: when all that was there at the beginning has come.

        Raises NatsError if it cannot even begin, or all that does not come in time; later it waits
        until it can go on, and says so.
        """
        while True:
            if not self.place.joined and asyncio.get_running_loop().time() > self._limit:
                what = f"{self._settings} did not tell of all builds in {self._patience:g} s"
                raise NatsError(what)
            try:
                messages = self._messages or await self._open()
                async with explained(messages.client):
                    news = await messages.next()
                if self._lost:
                    log.warning("watching goes on, over %s", messages.client.server)
                    self._waits, self._lost = pauses(), False
                return news
            except Exception as error:  # whatever nats-py comes upon
                if not self.place.begun:
                    raise
                if not self._lost:
                    log.warning("watching has to wait, and goes on by itself: %s", error)
                self._lost = True
            await self._drop()
            await asyncio.sleep(next(self._waits))

    async def _open(self) -> Messages:
        client = await connect(self._settings)
        self._messages = Messages(client, self.place)
        async with explained(client):
            await self._messages.open()
        return self._messages

    async def _drop(self) -> None:
        if messages := self._messages:
            self._messages = None
            await messages.client.end()
