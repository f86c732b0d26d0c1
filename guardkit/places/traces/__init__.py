"""Builds as traces of OpenTelemetry: `guardkit[otel]`."""

from guardkit.places.traces.sink import TraceSink

__all__ = ["TraceSink"]
