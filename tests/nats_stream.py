"""What a server has of builds, read by nats-py alone, and held against the journals."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import nats
import nats.errors
from nats.aio.msg import Msg
from nats.js.errors import NotFoundError

from guardkit import InvalidProgressError, Snapshot, read_events
from guardkit.progress.snapshot import decode

from .nats_server import NatsServer

STREAM, SUBJECTS = "GUARDKIT_BUILDS", "guardkit.builds.*.status"
PATIENCE, QUIET = 60.0, 2.0  # seconds in all, and until the next message


class Message(NamedTuple):
    """A message; `event` is None for a state."""

    task_id: str
    run_id: str
    seq: int
    event: str | None
    headers: dict[str, str]
    snapshot: Snapshot


async def read_stream(server: NatsServer) -> list[Message]:
    """Return all messages about builds, in order; those of others are passed over."""
    client = await nats.connect(server.url)
    try:
        js = client.jetstream()
        if not (await js.stream_info(STREAM)).state.messages:
            return []
        subscription = await js.subscribe(SUBJECTS, stream=STREAM, ordered_consumer=True)
        found: list[Message] = []
        left = 1
        while left:
            raw = await subscription.next_msg(QUIET)
            left = raw.metadata.num_pending
            if {"Guardkit-Run", "Guardkit-Seq"} <= (raw.headers or {}).keys():
                found.append(_parse(raw))
        return found
    except NotFoundError:  # there is no stream yet
        return []
    finally:
        await client.close()


def _parse(raw: Msg) -> Message:
    headers = raw.headers or {}
    return Message(
        task_id=raw.subject.split(".")[2].replace("%2E", "."),
        run_id=headers["Guardkit-Run"],
        seq=int(headers["Guardkit-Seq"]),
        event=headers.get("Guardkit-Event"),
        headers=headers,
        snapshot=decode(raw.data),
    )


def differences(messages: list[Message], *roots: Path) -> list[str]:
    """Return what is not as the journals below the roots tell, or as a stream has to be.

    Each transition is there once and in order; of states there is one at most, at the end, and
    nothing of a run follows its end, but for the same once more, where it is to be the last.
    """
    wrong: list[str] = []
    subjects: dict[str, list[Message]] = {}
    for message in messages:
        subjects.setdefault(message.task_id, []).append(message)
    for path in (path for root in roots for path in root.glob(".guardkit/autobuild/*/")):
        try:
            events = read_events(path.name, root=path.parents[2])
        except InvalidProgressError:  # of what is no build
            events = []
        runs = {event.run_id for event in events}
        told = [(each.run_id, each.seq, each.event) for each in events]
        heard = [
            (each.run_id, each.seq, each.event)
            for each in subjects.get(path.name, [])
            if each.event and each.run_id in runs
        ]
        if told != heard:
            wrong.append(f"{path.name}: {_first_difference(told, heard)}")
    for task_id, theirs in subjects.items():
        if any(message.event is None for message in theirs[:-1]):
            wrong.append(f"{task_id}: a state is left among {[each.event for each in theirs]}")
        ends: dict[str, Snapshot] = {}
        for message in theirs:
            if ends.get(message.run_id, message.snapshot) != message.snapshot:
                wrong.append(f"{task_id}: {message.event} of {message.run_id} after its end")
            if message.snapshot.terminal:
                ends[message.run_id] = message.snapshot
    return wrong


async def until_whole(server: NatsServer, *roots: Path) -> list[Message]:
    """Return all messages as soon as the stream tells the same as the journals below the roots."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            messages = await read_stream(server)
        except nats.errors.TimeoutError:  # the servers choose a new leader
            messages = []
        wrong = differences(messages, *roots)
        if not wrong:
            return messages
        assert time.monotonic() < end, wrong
        await asyncio.sleep(0.05)


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    """Return when the condition holds."""
    end = time.monotonic() + PATIENCE
    while not await condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.02)


def _first_difference(told: list[tuple[str, int, str]], heard: list[tuple[str, int, str]]) -> str:
    for number, (one, other) in enumerate(zip(told, heard, strict=False)):
        if one != other:
            return f"the stream has {other} in place of {one} at {number}"
    return f"the journal has {len(told)} events, the stream {len(heard)}"
