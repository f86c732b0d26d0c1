import pytest

from guardkit.errors import TracesError
from guardkit.places.traces.settings import check_protocol, for_agents, is_wanted, receiver

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACES = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
AGENTS = {
    "TRACEPARENT": "00-a-b-01",
    "CLAUDE_CODE_ENABLE_TELEMETRY": "1",
    "CLAUDE_CODE_ENHANCED_TELEMETRY_BETA": "1",
    "OTEL_TRACES_EXPORTER": "otlp",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
}


@pytest.mark.parametrize(
    ("env", "wanted"),
    [
        ({}, False),
        ({ENDPOINT: ""}, False),
        ({ENDPOINT: "http://box:4318"}, True),
        ({TRACES: "http://box:4318/v1/traces"}, True),
        ({ENDPOINT: "http://box:4318", "OTEL_SDK_DISABLED": "true"}, False),
        ({ENDPOINT: "http://box:4318", "OTEL_SDK_DISABLED": "false"}, True),
        ({ENDPOINT: "http://box:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({ENDPOINT: "http://box:4318", "OTEL_TRACES_EXPORTER": "console,otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, False),
    ],
)
def test_traces_are_wanted_where_a_receiver_is_named(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str], *, wanted: bool
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert is_wanted() is wanted


@pytest.mark.parametrize("protocol", ["", "http/protobuf"])
def test_the_protocol_that_there_is_may_be_asked_for(
    monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    check_protocol()


def test_another_protocol_is_refused_unless_that_is_not_for_traces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(TracesError, match="set OTEL_EXPORTER_OTLP_TRACES_PROTOCOL to it"):
        check_protocol()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf")
    check_protocol()


@pytest.mark.parametrize(
    ("endpoint", "told"),
    [
        ("", "http://localhost:4318"),
        ("https://user:secret@box/v1?key=secret", "https://box"),
        ("http://box:4318", "http://box:4318"),
        ("http://box:port", "a URL that is none"),
    ],
)
def test_a_receiver_is_told_of_without_its_login(
    monkeypatch: pytest.MonkeyPatch, endpoint: str, told: str
) -> None:
    monkeypatch.setenv(ENDPOINT, endpoint)
    assert receiver() == told


def test_an_agent_is_asked_for_its_traces_as_far_as_the_user_has_not_said_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert for_agents("00-a-b-01") == AGENTS
    monkeypatch.setenv("CLAUDE_CODE_ENABLE_TELEMETRY", "0")
    monkeypatch.setenv("TRACEPARENT", "00-c-d-01")
    asked = for_agents("00-a-b-01")
    assert "CLAUDE_CODE_ENABLE_TELEMETRY" not in asked
    assert asked["TRACEPARENT"] == "00-a-b-01"
