"""The stream of all builds: its subjects and headers, how long it keeps what, how it is made."""

# pyright: reportUnknownMemberType=false
# nats-py leaves some of its types open

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta

import msgspec
import nats.errors
from nats.js.api import (
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
    StreamInfo,
)
from nats.js.errors import (
    APIError,
    NoStreamResponseError,
    NotFoundError,
    ServiceUnavailableError,
)

from guardkit.errors import NatsError
from guardkit.nats.connection import Client
from guardkit.progress.paths import TASK_ID, check_task_id

STREAM = "GUARDKIT_BUILDS"
SUBJECTS = "guardkit.builds.*.status"
PREFIX, SUFFIX = SUBJECTS.split("*")

# What a message says besides the document: whose it is, and at which point of that run.
RUN, SEQ, AT = "Guardkit-Run", "Guardkit-Seq", "Guardkit-At"
EVENT = "Guardkit-Event"  # of a transition; a message without it is a state, and not kept
AFTER = "Guardkit-After"  # of a state: the seq of the transition before it
REPLACES = "Guardkit-Replaces"  # the number in the stream of the state that is not kept any more

FULL = 1.1  # by how much the bytes of a full stream may be below its limit
NAME_IN_USE = 10058  # a code of the server's, and those of having no JetStream:
NOT_ENABLED = {None, 10039, 10076}


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How long the stream keeps messages, in seconds and bytes, and on how many servers."""

    max_age: float = 7 * 86400.0
    max_bytes: int = 2**30
    replicas: int = 1


def subject(task_id: str) -> str:
    """Return the subject of a build; raises InvalidTaskIdError."""
    return f"{PREFIX}{check_task_id(task_id).replace('.', '%2E')}{SUFFIX}"


def task_of(subject: str) -> str | None:
    """Return the task id whose subject it is, None where it is none of ours."""
    token = subject.removeprefix(PREFIX).removesuffix(SUFFIX)
    task_id = token.replace("%2E", ".")
    whole = TASK_ID.fullmatch(task_id) and f"{PREFIX}{token}{SUFFIX}" == subject
    return task_id if whole and "." not in token else None


def configuration(limits: Limits) -> StreamConfig:
    """Return the configuration of the stream."""
    return StreamConfig(
        name=STREAM,
        description="guardkit: the progress of builds",
        subjects=[SUBJECTS],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        discard=DiscardPolicy.OLD,
        max_age=limits.max_age,
        max_bytes=limits.max_bytes,
        max_msgs_per_subject=10_000,
        max_msg_size=2**16,
        duplicate_window=min(120.0, limits.max_age),
        num_replicas=limits.replicas,
        allow_direct=True,
    )


async def ensure_stream(client: Client, limits: Limits | None = None) -> StreamInfo:
    """Return what the server says of the stream, which is made if there is none.

    A stream that is there is changed to `limits`, if they are given. Raises NatsError, also where
    it is not for builds.
    """
    async with explained(client):
        try:
            info = await client.js.stream_info(STREAM)
        except NotFoundError:
            return await _add_stream(client, limits or Limits())
        subjects = info.config.subjects or []
        if SUBJECTS not in subjects:
            raise NatsError(
                f"the stream {STREAM} on {client.server} is for {', '.join(subjects) or 'nothing'}"
                f", not for {SUBJECTS}: delete it, or add this to its subjects"
            )
        if info.config.deny_delete:  # the states would drive the transitions out
            raise NatsError(
                f"the stream {STREAM} on {client.server} lets no message be deleted: make it anew, "
                "without deny_delete"
            )
        if not limits:
            return info
        new = configuration(limits)
        changed = info.config.evolve(
            max_age=new.max_age,
            max_bytes=new.max_bytes,
            num_replicas=new.num_replicas,
            duplicate_window=new.duplicate_window,
        )
        return await client.js.update_stream(changed)


async def keeps_since(client: Client, now: datetime) -> datetime | None:
    """Return the time before which the stream keeps nothing, None where there is none.

    A full one has no room for what is older than its oldest message. Raises NatsError.
    """
    async with explained(client):
        info = await client.js.stream_info(STREAM)
        config, state = info.config, info.state
        since = now - timedelta(seconds=config.max_age) if config.max_age else None
        if 0 < (config.max_bytes or 0) < FULL * state.bytes:
            with suppress(NotFoundError):  # it has just gone
                oldest = await client.js.get_msg(STREAM, state.first_seq)
                return max(filter(None, (since, oldest.time)))
    return since


async def delete_message(client: Client, number: int) -> None:
    """Delete a message, if it is there, and leave the disk alone; raises NatsError."""
    which = f'{{"seq": {number}, "no_erase": true}}'
    await client.request(f"{client.api}.STREAM.MSG.DELETE.{STREAM}", which.encode())


async def _add_stream(client: Client, limits: Limits) -> StreamInfo:
    try:
        return await client.js.add_stream(configuration(limits))
    except APIError as error:
        if error.err_code != NAME_IN_USE:
            raise
        return await client.js.stream_info(STREAM)  # another one was faster, with other limits


@asynccontextmanager
async def explained(client: Client) -> AsyncGenerator[None]:
    """Turn what nats-py raises into a NatsError that says what to do."""
    try:
        yield
    except (ServiceUnavailableError, nats.errors.NoRespondersError) as error:
        if isinstance(error, APIError) and error.err_code not in NOT_ENABLED:
            raise NatsError(f"{client.server} cannot do that now: {error.description}") from error
        raise NatsError(
            f"{client.server} has no JetStream for this login: start it with `nats-server -js`, "
            "and enable JetStream for the account"
        ) from error
    except APIError as error:
        raise NatsError(f"{client.server} refuses: {error.description}") from error
    except nats.errors.MaxPayloadError as error:
        raise NatsError(
            f"{client.server} takes no more than {client.max_payload} bytes, and less than it is "
            "asked with: set its max_payload to 64KB at least"
        ) from error
    except nats.errors.BadSubjectError as error:
        raise NatsError(
            f"no subject can be made with the JetStream domain {client.domain!r}: set "
            "NATS_JS_DOMAIN to its name"
        ) from error
    except NoStreamResponseError:
        client.lose(NatsError(f"the stream {STREAM} on {client.server} is gone"))
        raise client.lost.result() from None
