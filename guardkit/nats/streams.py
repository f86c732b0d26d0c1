"""The two streams of builds: their subjects, how long they keep what, and how they are made."""

import re
from typing import Any

import msgspec

from guardkit.errors import NatsError
from guardkit.nats.client import Client
from guardkit.nats.jetstream import NAME_IN_USE, NO_STREAM, Info, RefusedError, Whole, call
from guardkit.progress.paths import is_task_id

MESSAGE_MAX = 2**14  # bytes; a document has 4 KiB at most
SECOND = 10**9  # as the server gives times


class Stream(msgspec.Struct, frozen=True):
    """One stream.

    subjects: what it takes.
    kept: how many messages of a subject, -1: all.
    share: of the room for both, how much is for it.
    """

    name: str
    subjects: str
    kept: int
    share: float


DOCUMENTS = Stream("GUARDKIT_BUILDS", "guardkit.builds.*.status", 1, 1 / 8)
EVENTS = Stream("GUARDKIT_EVENTS", "guardkit.builds.*.events.*", -1, 7 / 8)
STREAMS = (DOCUMENTS, EVENTS)

RUN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")  # which is a token of a subject, whoever wrote it
PREFIX, STATUS, OF_RUN = "guardkit.builds.", ".status", ".events."
ESCAPED = "%2E"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How long both streams keep messages, in seconds, in how many bytes, on how many servers.

    0 or less: without limit. None: as it is, or is usual.
    """

    max_age: float | None = None
    max_bytes: int | None = None
    replicas: int | None = None


USUAL = Limits(max_age=7 * 86400.0, max_bytes=2**30, replicas=1)
NONE = Limits()


def status_subject(task_id: str, project: str = "") -> str:
    """Return the subject of the documents of a task."""
    return f"{PREFIX}{_token(task_id, project)}{STATUS}"


def events_subject(task_id: str, run_id: str, project: str = "") -> str:
    """Return the subject of the events of a run, `*`: of all runs of the task."""
    return f"{PREFIX}{_token(task_id, project)}{OF_RUN}{run_id}"


def read_subject(subject: str) -> tuple[str, str, str]:
    """Return project, task and run that a subject is of, each `""` where it is of none."""
    token, _, rest = subject.removeprefix(PREFIX).partition(".")
    project, _, task_id = token.replace(ESCAPED, ".").rpartition(":")
    run_id = rest.removeprefix("events.") if rest != "status" else ""
    made = events_subject(task_id, run_id, project) if run_id else status_subject(task_id, project)
    if subject != made or not is_task_id(task_id):  # each subject is written in one way
        return "", "", ""
    return project, task_id, run_id


def _token(task_id: str, project: str) -> str:
    return f"{project}:{task_id}".removeprefix(":").replace(".", ESCAPED)


async def find_stream(client: Client, stream: Stream) -> Info | None:
    """Return what the server says of a stream, None if it is not there. Raises NatsError."""
    try:
        return await call(client, f"STREAM.INFO.{stream.name}", Info)
    except RefusedError as error:
        if error.code == NO_STREAM:
            return None
        raise


async def ensure_streams(client: Client, limits: Limits | None = None) -> bool:
    """Make the streams that are not there; change those that are to `limits`, if given.

    Returns whether any was missing. Raises NatsError, also where a stream of that name is not for
    builds.
    """
    return any([await _ensure(client, stream, limits) for stream in STREAMS])


async def _ensure(client: Client, stream: Stream, limits: Limits | None) -> bool:
    """Make or change a stream; return whether it was missing."""
    info, wanted = await find_stream(client, stream), _limits(stream, limits or NONE)
    if not info:
        new = _configuration(stream) | _limits(stream, USUAL) | wanted
        try:
            await call(client, f"STREAM.CREATE.{stream.name}", Info, new)
        except RefusedError as error:
            if error.code != NAME_IN_USE:  # else another one was faster, with other limits
                raise
        return True
    name, subjects = f"the stream {stream.name} on {client.server}", info.config.subjects or []
    if stream.subjects not in subjects:
        found = ", ".join(subjects) or "nothing"
        remedy = "delete it, or add this to its subjects"
        raise NatsError(f"{name} is for {found:.200}, not for {stream.subjects}: {remedy}")
    if limits:
        whole = await call(client, f"STREAM.INFO.{stream.name}", Whole)
        new = whole.config | wanted | {"max_msgs_per_subject": stream.kept}
        await call(client, f"STREAM.UPDATE.{stream.name}", Info, new)
    elif stream.kept > 0 and info.config.max_msgs_per_subject != stream.kept:
        raise NatsError(f"{name} keeps old documents: `guardkit nats init --replicas 1` mends it")
    return False


def _configuration(stream: Stream) -> dict[str, Any]:
    return {
        "name": stream.name,
        "description": "guardkit: the progress of builds",
        "subjects": [stream.subjects],
        "storage": "file",
        "max_msgs_per_subject": stream.kept,
        "max_msg_size": MESSAGE_MAX,
        "allow_direct": True,
    }


def _limits(stream: Stream, limits: Limits) -> dict[str, Any]:
    """Return what limits say of the configuration of a stream."""
    found: dict[str, Any] = {}
    if limits.max_age is not None:
        age = int(limits.max_age * SECOND)
        found = {"max_age": age, "duplicate_window": min(120 * SECOND, age or 120 * SECOND)}
    if limits.max_bytes is not None:
        found["max_bytes"] = int(limits.max_bytes * stream.share) if limits.max_bytes > 0 else -1
    if limits.replicas is not None:
        found["num_replicas"] = limits.replicas
    return found
