"""Entering and leaving a phase, where nothing is written."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from guardkit import track_build

from .bounds import SCOPE, SPAN
from .races import OURS, Round, Row, compare, race, timed, timed_awaits
from .setting import Run, pin

TIMES = 50


async def measure(run: Run) -> list[Row]:
    """Hold a phase without disk against spans, and against the least that Python takes."""
    pin()
    async with track_build("TASK-1", root=None) as build, build.turn() as turn:

        async def phases() -> None:
            for _ in range(TIMES):
                async with turn.phase("Player Implementation"):
                    pass

        contestants = {OURS: timed_awaits(phases, 1, each=TIMES), **_spans(run)}
        contestants["@asynccontextmanager"] = timed_awaits(_enter_nothing, 1, each=TIMES)
        return compare(SCOPE, await race(contestants, run.pick(100, 600)))


@asynccontextmanager
async def _nothing() -> AsyncGenerator[None]:
    yield


async def _enter_nothing() -> None:
    for _ in range(TIMES):
        async with _nothing():
            pass


class NoExporter:
    """Takes spans and does nothing with them, so that only their making counts."""

    def export(self, spans: object) -> Any:
        """Take spans."""
        del spans

    def shutdown(self) -> None:
        """Be asked to end."""

    def force_flush(self, timeout_millis: int = 0) -> bool:
        """Have nothing left."""
        return bool(timeout_millis) or True


def _spans(run: Run) -> dict[str, Round]:
    """Return the spans that are installed, each with a batch processor."""
    spans: dict[str, Round] = {}
    if sdk := run.peer("opentelemetry.sdk.trace"):
        batch = run.peer("opentelemetry.sdk.trace.export").BatchSpanProcessor
        provider = sdk.TracerProvider()
        provider.add_span_processor(batch(NoExporter()))
        tracer = provider.get_tracer("build")

        def span(times: int) -> None:
            for _ in range(times):
                with tracer.start_as_current_span("Player Implementation"):
                    pass

        spans[SPAN] = timed(span, TIMES)
        if logfire := run.peer("logfire"):
            logfire.configure(
                send_to_logfire=False,
                console=False,
                additional_span_processors=[batch(NoExporter())],
            )

            def fire(times: int) -> None:
                for _ in range(times):
                    with logfire.span("Player Implementation"):
                        pass

            spans["logfire.span"] = timed(fire, TIMES)
    return spans
