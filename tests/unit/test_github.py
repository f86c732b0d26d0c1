import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardkit import Build, track_build
from guardkit.places.github import ActionsDisplay, command, is_here
from guardkit.testing import FakeClock

from ..actions_runner import Obeyed, obey

pytestmark = pytest.mark.anyio

HOSTILE = [
    "::error::x",
    "  ::add-mask::x",
    "a ##[add-mask]x",
    "##[set-output name=a]x",
    "::stop-commands::x",
    "::group::x",
    "::endgroup::",
]


class Step:
    """A step of GitHub Actions: a file that is its output."""

    def __init__(self, path: Path, clock: FakeClock) -> None:
        self._path = path
        self._clock = clock

    @contextmanager
    def display(self) -> Iterator[ActionsDisplay]:
        with self._path.open("w") as file:
            display = ActionsDisplay(file.fileno(), clock=self._clock)
            with display.shown:
                yield display

    @property
    def output(self) -> str:
        return self._path.read_text()

    def obeyed(self) -> list[tuple[str, str]]:
        return [(each.name, each.data) for each in obey(self.output)]


@pytest.fixture
def step(tmp_path: Path, clock: FakeClock) -> Step:
    return Step(tmp_path / "output", clock)


def track(display: ActionsDisplay, clock: FakeClock) -> Build:
    return track_build("TASK-1", root=None, turn_max=2, clock=clock, sinks=[display])


async def take_turns(build: Build, clock: FakeClock) -> None:
    async with build.phase("Setup") as phase:
        phase.update(message="made")
    for decision in ("feedback", "feedback"):
        async with build.turn() as turn:
            async with turn.phase("Player Implementation") as phase:
                phase.update(message="writing")
                await clock.advance(0.2)
            async with turn.phase("Coach Validation"):
                pass
            turn.decide(decision, f"because of {turn.number}")
            await clock.advance(0.2)
    async with build.phase("Finalize") as phase:
        phase.update(message="kept")


async def test_each_turn_is_a_group_and_what_it_came_to_stands_below_it(
    step: Step, clock: FakeClock
) -> None:
    with step.display() as display:
        async with track(display, clock) as build:
            await take_turns(build, clock)
    assert step.obeyed() == [
        ("group", "Turn 1/2"),
        ("endgroup", ""),
        ("group", "Turn 2/2"),
        ("endgroup", ""),
    ]
    shown, depth = dict[str, bool](), 0
    for line in step.output.splitlines():
        depth += line.startswith("::group::") - line.startswith("::endgroup::")
        shown[line.partition("] ")[2]] = depth == 0
    assert not shown["writing"]
    assert not shown["Coach Validation starting..."]
    assert not shown["✓ Player Implementation  writing  0:00"]
    assert shown["Setup starting..."]
    assert shown["feedback: because of 1"]
    assert shown["feedback: because of 2"]
    assert shown["Finalize starting..."]
    assert "Turn 1 of 2" not in step.output


@pytest.mark.parametrize("said", HOSTILE)
async def test_nothing_that_a_player_says_is_obeyed(
    step: Step, clock: FakeClock, said: str
) -> None:
    with step.display() as display:
        async with track(display, clock) as build, build.turn() as turn:
            async with turn.phase(f"Phase {said}") as phase:
                phase.update(message=said)
                await clock.advance(0.2)
                phase.fail(said)
            turn.decide(said, said)
    assert said.strip() in step.output
    assert step.obeyed() == [("group", "Turn 1/2"), ("endgroup", "")]


async def test_what_comes_after_the_build_is_obeyed_again(step: Step, clock: FakeClock) -> None:
    with step.display() as display:
        async with track(display, clock) as build, build.turn() as turn:
            await turn.phase("Player Implementation").__aenter__()
            await clock.advance(0.2)
    display.print("too late")
    assert "too late" not in step.output
    assert obey(f"{step.output}::warning::of the next command")[-1].data == "of the next command"
    assert step.obeyed() == [("group", "Turn 1/2"), ("endgroup", "")]


async def test_a_build_that_breaks_off_leaves_no_group_open(step: Step, clock: FakeClock) -> None:
    with pytest.raises(ValueError, match="no"), step.display() as display:
        async with track(display, clock) as build, build.turn() as turn:
            async with turn.phase("Player Implementation"):
                raise ValueError("no")
    assert step.obeyed() == [("group", "Turn 1/2"), ("endgroup", "")]


async def test_commands_are_obeyed_between_lines_that_are_not(step: Step) -> None:
    with step.display() as display:
        await display.say(
            "::error::theirs", *display.obeyed(command("error", "ours")), "##[error]x"
        )
    assert step.obeyed() == [("error", "ours")]


async def test_a_token_is_used_once(step: Step, clock: FakeClock) -> None:
    with step.display() as display:
        async with track(display, clock) as build:
            await take_turns(build, clock)
    lines = step.output.splitlines()
    tokens = [line.rpartition(":")[2] for line in lines if line.startswith("::stop-commands::")]
    assert len({*tokens}) == len(tokens) == 5
    assert all(len(token) == 32 for token in tokens)


TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(data=TEXT, title=TEXT)
def test_a_command_comes_out_as_it_went_in(data: str, title: str) -> None:
    line = command("error", data, title=title, file="")
    assert "\n" not in line
    assert "\r" not in line
    [found] = obey(line)
    assert found == Obeyed("error", {"title": title} if title else {}, data)


def test_a_command_is_escaped_as_github_s_toolkit_does() -> None:
    line = command("error", "100%\r\n: a,b", file="a,b:c%", line=3)
    assert line == "::error file=a%2Cb%3Ac%25,line=3::100%25%0D%0A: a,b"


@pytest.mark.parametrize(("value", "here"), [("true", True), ("", False), ("false", False)])
def test_github_actions_says_that_it_is_there(
    monkeypatch: pytest.MonkeyPatch, value: str, *, here: bool
) -> None:
    monkeypatch.setitem(os.environ, "GITHUB_ACTIONS", value)
    assert is_here() is here
