"""A timeline as SVG: well-formed, told in words too, and nothing but a picture."""

import re
from pathlib import Path
from xml.etree.ElementTree import Element

import pytest
from defusedxml.ElementTree import fromstring
from msgspec.structs import replace

from guardkit import Event, read_events, track_build
from guardkit.places.cells import cell_len
from guardkit.places.runs import runs
from guardkit.places.timeline.making import Seen, make_timeline
from guardkit.places.timeline.model import Bar, Gap, Lane, Timeline
from guardkit.places.timeline.scale import Scale, brief
from guardkit.places.timeline.shapes import CELL
from guardkit.places.timeline.svg import draw
from guardkit.testing import FakeClock

from ..histories import COACH, EVIL, PLAYER, build_feature, build_task
from ..looks import TRACKER, document

SVG = "{http://www.w3.org/2000/svg}"
KINDS = {"svg", "title", "desc", "style", "defs", "pattern", "path", "circle", "rect", "text"}
NAMES = {"class", "d", "id", "x", "y", "width", "height", "rx", "fill", "text-anchor", "viewBox"}
NAMES |= {"role", "aria-labelledby", "aria-describedby", "patternUnits", "cx", "cy", "r"}

pytestmark = pytest.mark.anyio


def timeline_of(root: Path, task_id: str = "TASK-1") -> Timeline:
    return make_timeline(Seen(run=runs(read_events(task_id, root=root))[-1]))


def parsed(picture: str) -> Element:
    """Return the picture's root; it has only elements and attributes that draw."""
    root: Element = fromstring(picture)
    for element in root.iter():
        assert element.tag.removeprefix(SVG) in KINDS
        assert set(element.attrib) <= NAMES
    return root


def texts(root: Element, kind: str = "text") -> list[str]:
    return [element.text or "" for element in root.iter(f"{SVG}{kind}")]


async def test_it_says_in_words_what_it_shows(tmp_path: Path, clock: FakeClock) -> None:
    await build_task(tmp_path, clock)
    root = parsed(draw(timeline_of(tmp_path)))
    shown = texts(root)
    assert "TASK-1 Implement text output fallback" in shown
    assert "completed after 12m 5s, 3 turns, 9 files, 9/9 tests passing" in shown
    assert {"Turn 1: feedback", "Turn 3: approve", PLAYER, "CV", "12m", "9/9"} <= {*shown}
    assert {f"{PLAYER} 7m 30s", f"{COACH} 1m 35s", "over its budget"} <= {*shown}


async def test_its_text_alternative_tells_all_of_it(tmp_path: Path, clock: FakeClock) -> None:
    await build_task(tmp_path, clock)
    root = parsed(draw(timeline_of(tmp_path), name="x"))
    title, desc = root[0], root[1]
    assert root.attrib["aria-labelledby"] == title.attrib["id"]
    assert root.attrib["aria-describedby"] == desc.attrib["id"]
    assert (root.attrib["role"], title.text) == ("img", "TASK-1 Implement text output fallback")
    assert (desc.text or "").splitlines()[:8] == [
        "completed after 12m 5s, 3 turns, 9 files, 9/9 tests passing",
        "Setup, 12s, from 0 on, completed",
        "Turn 1 begins at 12s",
        (
            f"{PLAYER}, 4m 20s, from 12s on, completed, 20s over its budget: "
            "2 files created, 1 modified"
        ),
        "Run tools, 1m 5s, from 2m 22s on, completed",
        f"{COACH}, 34s, from 4m 32s on, completed: 4 of 9 tests passing",
        "feedback after 5m 6s: 4 of 9 tests passed",
        "Turn 2 begins at 5m 8s",
    ]


async def test_what_a_build_says_is_never_markup(tmp_path: Path, clock: FakeClock) -> None:
    async with track_build("TASK-1", task_name=EVIL, root=tmp_path, clock=clock) as build:
        async with build.turn() as turn:
            async with turn.phase(EVIL):
                await clock.advance(100.0)
            turn.decide(EVIL[:60], EVIL)
        build.fail(EVIL)
    picture = draw(timeline_of(tmp_path), name='"><script>')
    root = parsed(picture)
    assert "<script" not in picture
    assert "\x1b" not in picture
    assert any("<script>alert('x')</script>" in text for text in texts(root))


async def test_it_needs_nothing_from_elsewhere(tmp_path: Path, clock: FakeClock) -> None:
    await build_task(tmp_path, clock)
    picture = draw(timeline_of(tmp_path))
    assert {*re.findall(r"[a-z]+://[^\s\"<]+", picture)} == {"http://www.w3.org/2000/svg"}
    assert {*re.findall(r"url\(([^)]*)\)", picture)} <= {"#timeline-over"}


async def test_a_page_has_its_own_ids_and_the_style_once(tmp_path: Path, clock: FakeClock) -> None:
    await build_task(tmp_path, clock)
    timeline = timeline_of(tmp_path)
    first, second = (draw(timeline, name=name, styled=False) for name in ("a", "b"))
    assert "<style" not in first
    ids = [{*re.findall(r' id="([^"]*)"', picture)} for picture in (first, second)]
    assert not ids[0] & ids[1]
    classes = {word for it in re.findall(r'class="([^"]*)"', first) for word in it.split()}
    assert all(word.startswith("gk-") for word in classes)
    assert 'style="' not in first


async def test_a_phase_of_a_feature_that_has_just_begun_is_drawn(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with track_build("FEAT-1", build_type="feature", root=tmp_path, clock=clock) as feature:
        async with feature.wave(1) as wave, wave.task("TASK-1"):
            await clock.advance(20.0)
        async with feature.phase("Finalize"):
            [task], [own] = (
                runs(read_events(name, root=tmp_path)) for name in ("TASK-1", "FEAT-1")
            )
    shown = texts(parsed(draw(make_timeline(Seen(run=own), [Seen(run=task)]))))
    assert "Finalize 0" in shown


def test_words_stand_beside_patterns_and_not_on_them() -> None:
    took = {"start": 0.0, "end": 100.0, "budget": 50.0, "status": "failed"}
    bar = Bar(kind="phase", name=PLAYER, **took)  # type: ignore[arg-type]
    root = parsed(draw(Timeline(build=Lane(task_id="TASK-1", end=100.0, bars=(bar,)))))
    [words] = [it for it in root.iter(f"{SVG}text") if it.text == PLAYER]
    filled = [it for it in root.iter(f"{SVG}rect") if "timeline-over" in it.get("fill", "")]
    assert float(words.get("x", 0)) + cell_len(PLAYER) * CELL / 2 < float(filled[0].get("x", 0))


def test_bars_too_thin_for_an_edge_have_none() -> None:
    bars = [Bar(kind="phase", name=PLAYER, start=n * 1.0, end=n + 0.9) for n in range(1500)]
    root = parsed(draw(Timeline(build=Lane(task_id="TASK-1", end=1500.0, bars=tuple(bars)))))
    kinds = {it.get("class") for it in root.iter(f"{SVG}rect")}
    assert {kind for kind in kinds if kind and "gk-bar" in kind.split() and "gk-c0" in kind} == {
        "gk-bar gk-c0 gk-thin",
        "gk-bar gk-c0",  # of the legend
    }


async def test_of_a_journal_that_was_cut_the_turns_are_no_total(
    tmp_path: Path, clock: FakeClock
) -> None:
    await build_task(tmp_path, clock)
    cut = Seen(run=runs(read_events("TASK-1", root=tmp_path)[12:])[-1])
    assert "at least 2 turns" in " ".join(texts(parsed(draw(make_timeline(cut)))))


async def test_a_feature_has_lanes_waves_and_a_critical_path(
    tmp_path: Path, clock: FakeClock
) -> None:
    await build_feature(tmp_path, clock, waves=(2, 1), at_once=1)
    tasks = [f"TASK-{number:02}" for number in (1, 2, 3)]
    seen = [Seen(run=runs(read_events(name, root=tmp_path))[-1]) for name in ("FEAT-1", *tasks)]
    root = parsed(draw(make_timeline(seen[0], seen[1:])))
    shown = texts(root)
    assert {"Wave 1/2", "Wave 2/2", *(f"◆ {name}" for name in tasks), "critical path"} <= {*shown}
    assert "Wave 1, TASK-01: completed after" in (root[1].text or "")


@pytest.mark.parametrize("width", [0, 320, 390, 960, 4000])
async def test_nothing_stands_outside(tmp_path: Path, clock: FakeClock, width: int) -> None:
    await build_task(tmp_path, clock)
    root = parsed(draw(timeline_of(tmp_path), width=width))
    size = [float(word) for word in root.attrib["viewBox"].split()]
    assert size[2] == max(width, 320)
    for element in root.iter(f"{SVG}rect"):
        at, wide = float(element.attrib["x"]), float(element.attrib["width"])
        assert 0 <= at <= at + wide <= size[2] + 0.1
        assert float(element.attrib["y"]) + float(element.attrib["height"]) <= size[3]


def test_a_journal_that_means_harm_makes_no_large_picture() -> None:
    events: list[Event] = []
    for number in range(20_000):
        tracker = replace(TRACKER, beat=number * 1.0, phase_number=number % 7_000 + 1)
        name = ("phase.started", "decided", "turn.started", "phase.ended", "failed")[number % 5]
        seen = document(
            phase=f"{EVIL} {number}", turn=number, decision="x" * 64, error=EVIL, tracker=tracker
        )
        events.append(Event(event=name, at="", run_id="r", seq=number, progress=seen))
    picture = draw(make_timeline(Seen(run=runs(events)[0])))
    parsed(picture)
    assert len(picture) < 8 * 2**20


async def test_what_is_strange_has_a_row_and_a_pattern_of_its_own(
    tmp_path: Path, clock: FakeClock
) -> None:
    with pytest.raises(OSError, match="full"):
        async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
            async with build.phase("Index"):
                await clock.advance(50.0)
                clock.jump(7200.0)
                await clock.advance(50.0)
            clock.jump(-60.0)
            await clock.advance(1.0)
            async with build.phase("Write"):
                raise OSError("the disk is full")
    [run] = runs(read_events("TASK-1", root=tmp_path))
    timeline = make_timeline(Seen(run=run))
    gaps = [
        *timeline.gaps,
        Gap(sign="silent", start=10.0, end=90.0, seconds=80.0),
        Gap(sign="idle", start=1.0, end=2.0, seconds=1.0),
        Gap(sign="unknown", start=99.0, end=100.0, seconds=1.0),
    ]
    picture = draw(replace(timeline, gaps=tuple(gaps)))
    shown = {*texts(parsed(picture))}
    assert {"machine", "asleep 2h", "clock set back 1m", "signs", "silent 1m 20s"} <= shown
    assert {"failed", "no heartbeat", "no activity", "not in the journal"} <= shown
    for pattern in ("failed", "silent", "idle", "unknown"):
        assert f'fill="url(#timeline-{pattern})"' in picture


def test_more_lanes_and_names_than_there_is_room_for_are_counted() -> None:
    bars = tuple(
        Bar(kind="phase", name=f"p{number}", start=number, end=number + 1.0) for number in range(99)
    )
    lanes = [Lane(task_id=f"TASK-{number}", end=99.0, bars=bars) for number in range(450)]
    shown = texts(parsed(draw(Timeline(build=Lane(task_id="F", end=99.0), tasks=tuple(lanes)))))
    assert "and 50 more" in shown
    assert "75 more" in texts(parsed(draw(Timeline(build=lanes[0]))))


def test_an_empty_run_and_one_of_years_are_drawn() -> None:
    for end in (0.0, 1e8):
        bar = Bar(kind="phase", name="p", start=0.0, end=end)
        parsed(draw(Timeline(build=Lane(task_id="T", end=end, bars=(bar,)))))


@pytest.mark.parametrize(
    ("end", "ticks"),
    [
        (0.0, ["0"]),
        (60.0, ["0", "10s", "20s", "30s", "40s", "50s", "1m"]),
        (725.0, ["0", "2m", "4m", "6m", "8m", "10m", "12m"]),
        (7_000.0, ["0", "15m", "30m", "45m", "1h", "1h 15m"]),
        (200_000.0, ["0", "12h", "24h", "36h", "48h"]),
    ],
)
def test_instants_are_written_at_round_distances(end: float, ticks: list[str]) -> None:
    assert [words for _, words in Scale(0.0, 600.0, 600.0, end).ticks()][: len(ticks)] == ticks


def test_a_time_in_brief_has_no_zeros() -> None:
    assert [brief(it) for it in (0, 59.9, 60, 3605, 7200)] == ["0", "59s", "1m", "1h 5s", "2h"]
