"""What the environment says of traces, in the variables that all of OpenTelemetry knows."""

import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from guardkit.errors import TracesError

PREFIXES = "OTEL_EXPORTER_OTLP_TRACES_", "OTEL_EXPORTER_OTLP_"  # of two names the first one counts
PROTOCOL, RECEIVER = "http/protobuf", "http://localhost:4318"
# What Claude Code is told so that it sends its own spans, which hang below ours.
FOR_AGENTS = {
    "CLAUDE_CODE_ENABLE_TELEMETRY": "1",
    "CLAUDE_CODE_ENHANCED_TELEMETRY_BETA": "1",
    "OTEL_TRACES_EXPORTER": "otlp",
    "OTEL_EXPORTER_OTLP_PROTOCOL": PROTOCOL,
}


def is_wanted() -> bool:
    """Return whether the environment asks for traces: it names a receiver, and does not say no."""
    exporters = os.environ.get("OTEL_TRACES_EXPORTER") or "otlp"
    is_off = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    return bool(_find("ENDPOINT")) and "otlp" in exporters.split(",") and not is_off


def check_protocol() -> None:
    """Raise TracesError where the environment asks for a protocol that there is not."""
    if (_find("PROTOCOL") or PROTOCOL) != PROTOCOL:
        remedy = f"set {PREFIXES[0]}PROTOCOL to it, and the endpoint to the port of HTTP"
        raise TracesError(f"guardkit sends traces by {PROTOCOL} alone: {remedy}")


def receiver() -> str:
    """Return where traces are sent, for people: without a login that the URL may hold."""
    try:
        url = urlsplit(_find("ENDPOINT") or RECEIVER)
        port = f":{url.port}" if url.port else ""
    except ValueError:
        return "a URL that is none"
    return f"{url.scheme}://{url.hostname}{port}"


def for_agents(traceparent: str) -> Mapping[str, str]:
    """Return what is added to an agent's environment; what the user has set there stays."""
    asked = {name: value for name, value in FOR_AGENTS.items() if name not in os.environ}
    return asked | {"TRACEPARENT": traceparent}


def _find(name: str) -> str:
    return next(filter(None, (os.environ.get(prefix + name) for prefix in PREFIXES)), "")
