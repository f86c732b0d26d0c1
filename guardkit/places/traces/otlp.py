"""Sends spans to an OTLP receiver, by OpenTelemetry's own SDK: it takes the extra `otel`."""

from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    get_current_span,
    set_span_in_context,
)

import guardkit
from guardkit.places.traces.ids import Origin, Outer
from guardkit.places.traces.spans import Span

RUN = "cicd.pipeline.result"  # what only the run of a pipeline has
UNNAMED = "unknown_service"  # how the name begins where the user has given none


class Ids(IdGenerator):
    """Gives the next span the numbers that it has already."""

    trace_id = span_id = 0

    def generate_trace_id(self) -> int:
        """Return the number of its trace."""
        return self.trace_id

    def generate_span_id(self) -> int:
        """Return its own."""
        return self.span_id


class Kept(SpanProcessor):
    """Keeps what has ended and is to be sent: what no sampler has left out."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        """Keep a span."""
        self.spans.append(span)


class Otlp:
    """A receiver, as the environment names it; for use in one thread at a time.

    Resource, sampler, limits, receiver, headers, certificates and timeout are those of the usual
    variables.
    """

    def __init__(self) -> None:
        resource = Resource.create()
        if str(resource.attributes.get(SERVICE_NAME, UNNAMED)).startswith(UNNAMED):
            resource = resource.merge(Resource({SERVICE_NAME: "guardkit"}))
        self._ids, self._kept = Ids(), Kept()
        self._provider = TracerProvider(
            resource=resource, id_generator=self._ids, shutdown_on_exit=False
        )
        self._provider.add_span_processor(self._kept)
        self._tracer = self._provider.get_tracer("guardkit", guardkit.__version__)
        self._exporter = OTLPSpanExporter()

    def is_sampled(self, origin: Origin) -> bool:
        """Return whether the trace of a run is kept: the outer span decides, else the sampler."""
        context = _within(origin, origin.outer.span_id if origin.outer else 0, is_sampled=False)
        decided = self._provider.sampler.should_sample(context, origin.trace_id, "BUILD")
        return decided.decision is Decision.RECORD_AND_SAMPLE

    def send(self, spans: Sequence[Span]) -> bool:
        """Send spans; return whether the receiver has them, or none was to be sent."""
        try:
            for span in spans:
                self._make(span)
            kept, self._kept.spans = self._kept.spans, []
            return not kept or self._exporter.export(kept) is SpanExportResult.SUCCESS
        except Exception:  # the SDK's
            return False

    def hurry(self) -> None:
        """Have a call in another thread, which tries again and again, give up."""
        exporter, self._exporter = self._exporter, OTLPSpanExporter()
        exporter.shutdown()  # type: ignore[no-untyped-call]

    def _make(self, span: Span) -> None:
        self._ids.trace_id, self._ids.span_id = span.origin.trace_id, span.span_id
        made = self._tracer.start_span(
            span.name,
            _within(span.origin, span.parent, is_sampled=self.is_sampled(span.origin)),
            SpanKind.SERVER if RUN in span.attributes else SpanKind.INTERNAL,
            span.attributes,
            start_time=span.began,
        )
        for note in span.notes:
            made.add_event(note.name, note.attributes, note.at)
        if span.error is not None:
            made.set_status(Status(StatusCode.ERROR, span.error))
        made.end(span.ended)


def find_current() -> Outer | None:
    """Return the span that the program is in, None where it is in none."""
    current = get_current_span().get_span_context()
    if not current.is_valid:
        return None
    return Outer(current.trace_id, current.span_id, current.trace_flags.sampled)


def _within(origin: Origin, parent: int, *, is_sampled: bool) -> Context:
    """Return a context in which a span hangs below another one, 0: below none."""
    if not parent:
        return Context()
    outer = origin.outer if origin.outer and origin.outer.span_id == parent else None
    flags = TraceFlags(outer.sampled if outer else is_sampled)
    above = SpanContext(origin.trace_id, parent, is_remote=outer is not None, trace_flags=flags)
    return set_span_in_context(NonRecordingSpan(above), Context())
