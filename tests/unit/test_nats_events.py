"""Where to go on with the events of a run, by what its subject has."""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from guardkit.nats.events import find_place
from guardkit.nats.jetstream import Message
from guardkit.progress.snapshot import Event

from ..nats_messages import an_event, of_event, of_run

EVENTS = [an_event(of_run("a", seq)) for seq in (1, 2, 4)]
FORGED = an_event(of_run("a", 4, message="never said"))
LATER = replace(EVENTS[2], seq=9)


@pytest.mark.parametrize(
    ("events", "messages", "place"),
    [
        pytest.param(EVENTS, [], 0, id="nothing is there"),
        pytest.param(EVENTS, [EVENTS[0]], 1, id="the first"),
        pytest.param(EVENTS, [EVENTS[2]], 3, id="the last"),
        pytest.param(EVENTS, [FORGED], 0, id="a peer's, of the seq of one of ours"),
        pytest.param(EVENTS, [LATER], 0, id="a peer's, past all of ours"),
        pytest.param(EVENTS, [EVENTS[1], FORGED, LATER], 2, id="ours among a peer's"),
        pytest.param(EVENTS, [EVENTS[1], EVENTS[0]], 2, id="in another order"),
        pytest.param(EVENTS[1:], [EVENTS[0]], 0, id="a line that the journal has lost"),
        pytest.param([], [EVENTS[0]], 0, id="the journal is lost"),
    ],
)
def test_a_run_goes_on_behind_the_last_line_of_its_journal_that_is_there(
    events: Sequence[Event], messages: Sequence[Event], place: int
) -> None:
    assert find_place(events, [of_event(each) for each in messages]) == place


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff", b"[" * 5000], ids=repr)
def test_a_message_that_is_no_event_tells_nothing(data: bytes) -> None:
    garbage: Message = of_event(data, "guardkit.builds.TASK-1.events.a")
    assert find_place(EVENTS, [of_event(EVENTS[0]), garbage]) == 1
