"""What may be imported, and how little an import costs."""

import subprocess
import sys

import pytest

import guardkit
import guardkit.nats
from guardkit import testing

NAMES = [
    "Build",
    "BuildAlreadyRunningError",
    "Builds",
    "Clock",
    "Event",
    "GuardKitError",
    "InvalidProgressError",
    "InvalidTaskIdError",
    "Look",
    "MisuseError",
    "Phase",
    "ProgressNotFoundError",
    "ScopeError",
    "Sink",
    "Snapshot",
    "SystemClock",
    "Turn",
    "Verdict",
    "Wave",
    "assess",
    "read_events",
    "read_progress",
    "track_build",
    "watch_progress",
]


def test_the_public_names_are_these() -> None:
    assert guardkit.__all__ == NAMES
    assert dir(guardkit) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_is_there(name: str) -> None:
    assert getattr(guardkit, name).__name__ == name


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'track'"):
        _ = guardkit.track


@pytest.mark.parametrize("name", ["NatsBuilds", "NatsSink", "PipelineSink", "Relay"])
def test_what_builds_on_many_machines_need_is_public(name: str) -> None:
    assert getattr(guardkit.nats, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Sink'"):
        _ = guardkit.nats.Sink


@pytest.mark.parametrize("name", ["FakeClock", "MemorySink"])
def test_what_tests_need_is_public(name: str) -> None:
    assert getattr(testing, name).__name__ == name


@pytest.mark.parametrize(
    ("name", "builtin"),
    [
        ("MisuseError", ValueError),
        ("InvalidTaskIdError", ValueError),
        ("ScopeError", RuntimeError),
        ("BuildAlreadyRunningError", RuntimeError),
        ("ProgressNotFoundError", FileNotFoundError),
        ("InvalidProgressError", ValueError),
    ],
)
def test_an_error_is_one_of_ours_and_the_fitting_builtin(
    name: str, builtin: type[Exception]
) -> None:
    assert issubclass(getattr(guardkit, name), guardkit.GuardKitError)
    assert issubclass(getattr(guardkit, name), builtin)


HEAVY = ["asyncio", "anyio", "aiofiles", "msgspec", "rich", "argparse", "nats", "yaml"]
HEAVY += ["typing", "pathlib", "dataclasses", "watchfiles", "opentelemetry"]


@pytest.mark.parametrize(
    ("statement", "wanted"),
    [
        pytest.param("import guardkit", [], id="import guardkit"),
        pytest.param("from guardkit.monitor import verdict, brief", [], id="a verdict"),
        pytest.param("from guardkit.progress import lock, paths, folder", [], id="a lock"),
        pytest.param("from guardkit.places import words", [], id="the words"),
        pytest.param(
            "from guardkit import read_progress, assess",
            ["msgspec", "typing", "pathlib", "dataclasses"],
            id="read_progress",
        ),
        pytest.param(
            "from guardkit.places import traces",
            ["asyncio", "anyio", "aiofiles", "msgspec", "typing", "pathlib", "dataclasses"],
            id="the sink of traces",
        ),
        pytest.param(
            "from guardkit import track_build",
            ["asyncio", "anyio", "aiofiles", "msgspec", "typing", "pathlib", "dataclasses"],
            id="track_build",
        ),
    ],
)
def test_an_import_loads_no_more_than_it_needs(statement: str, wanted: list[str]) -> None:
    code = (
        "import sys; before = set(sys.modules); "
        f"{statement}; print(*(sys.modules.keys() - before) & set(sys.argv[1:]))"
    )
    unwanted = [name for name in HEAVY if name not in wanted]
    command = (sys.executable, "-c", code, *unwanted)
    loaded = subprocess.run(command, capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []
