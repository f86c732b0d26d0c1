"""Where a build is told of besides its files: a NATS server, a receiver of traces."""

from __future__ import annotations

from guardkit.cli.streams import complain
from guardkit.errors import MisuseError, TracesError

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from collections.abc import Iterable

    from guardkit.places.traces import TraceSink
    from guardkit.progress.sinks import Sink

FLUSH = 3.0  # seconds in which a receiver of traces takes what is left when a build has ended


def publishing(nats: str | None, project: str | None, *, envelope: bool) -> list[Sink]:
    """Return what publishes a build to a server, where one is given; raise MisuseError."""
    if nats is None:
        if envelope or project:
            option = "--nats-envelope" if envelope else "--project"
            raise MisuseError(f"{option} says how to publish: add --nats")
        return []
    from guardkit.nats import NatsSink, PipelineSink

    return [NatsSink(nats, project=project), *([PipelineSink(nats)] if envelope else [])]


def tracing(*, wanted: bool) -> TraceSink | None:
    """Return what makes traces, None where nobody asks for them.

    Raises TracesError where they are wanted; where it is the environment that asks for them, the
    build goes on without.
    """
    import logging

    from guardkit.places.traces import TraceSink
    from guardkit.places.traces.settings import is_wanted

    if not (wanted or is_wanted()):
        return None
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # the sink warns itself, once
    try:
        return TraceSink()
    except TracesError as error:
        if wanted:
            raise
        complain(f"no traces, though OTEL_EXPORTER_OTLP_ENDPOINT is set: {error}")
    return None


async def flush(sinks: Iterable[Sink]) -> None:
    """Give a receiver of traces some time for the last of them."""
    from anyio import move_on_after

    from guardkit.places.traces import TraceSink

    for sink in sinks:
        if isinstance(sink, TraceSink):
            with move_on_after(FLUSH, shield=True) as scope:
                await sink.aclose()
            if scope.cancelled_caught:
                what = f"not all traces could be sent within {FLUSH:g} s"
                complain(f"{what}: the next build of the task sends the rest")
