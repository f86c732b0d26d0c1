"""The report on a build, in each format."""

import asyncio
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from defusedxml.ElementTree import fromstring
from msgspec.structs import replace

from guardkit import Builds, ProgressNotFoundError, read_events, track_build
from guardkit.places.cells import cell_len
from guardkit.places.journals import near, read_journals, read_near
from guardkit.places.report.compare import Compared
from guardkit.places.report.formats import FORMATS, format_of, render
from guardkit.places.report.markdown import code
from guardkit.places.report.material import Report, Scope, make_report
from guardkit.places.report.tables import difference
from guardkit.places.report.text import bar
from guardkit.testing import FakeClock

from ..histories import COACH, EVIL, PLAYER, build_feature, build_once, build_task

pytestmark = pytest.mark.anyio
VOID = {"meta"}


async def report_of(
    root: Path, clock: FakeClock, task_id: str = "TASK-1", scope: Scope = ""
) -> Report:
    return await make_report(Builds(root, clock=clock), task_id, scope=scope)


async def evil(root: Path, clock: FakeClock) -> Report:
    """Return the report on a build that says nothing but what means harm."""
    async with track_build("TASK-1", task_name=EVIL, root=root, clock=clock) as build:
        async with build.turn() as turn:
            async with turn.phase(EVIL):
                await clock.advance(100.0)
            turn.decide(EVIL[:60], EVIL)
        build.fail(EVIL)
    return await report_of(root, clock)


class Tags(HTMLParser):
    """Reads HTML in which each element is closed in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.words: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.add(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


# text


async def test_the_text_tells_where_the_time_went_as_bars(tmp_path: Path, clock: FakeClock) -> None:
    await build_task(tmp_path, clock)
    lines = render(await report_of(tmp_path, clock), "text", width=80).splitlines()
    assert lines[:7] == [
        "TASK-1 Implement text output fallback",
        "completed after 12m 5s, 3 turns, 9 files, 9/9 tests passing",
        "",
        "Where the time went",
        "phase                    took  of all  times  share",
        f"{PLAYER}  7m 30s     62%      3  █████████████████████▏",
        "Run tools              2m 30s     21%      3  ███████",
    ]
    assert "   2  3m 50s" in "\n".join(lines)


async def test_on_a_narrow_terminal_each_phase_of_a_turn_has_its_time(
    tmp_path: Path, clock: FakeClock
) -> None:
    await build_task(tmp_path, clock)
    lines = render(await report_of(tmp_path, clock), "text", width=80).splitlines()
    at = lines.index("Turns")
    assert lines[at : at + 6] == [
        "Turns",
        "turn    took  phase                    took  decision  why",
        f"   1  4m 54s  {PLAYER}  3m 15s",
        "              Run tools               1m 5s",
        f"              {COACH}          34s  feedback  4 of 9 tests passed",
        f"   2  3m 50s  {PLAYER}  2m 30s",
    ]


@pytest.mark.parametrize("why", ["six of nine tests failed " * 9, "x" * 300, "失敗した" * 40])
async def test_on_a_narrow_terminal_the_whole_reason_is_told(
    tmp_path: Path, clock: FakeClock, why: str
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        build.fail(why.strip())
    lines = render(await report_of(tmp_path, clock), "text", width=40).splitlines()
    assert max(map(cell_len, lines)) <= 40
    assert "".join(lines[2:]).replace(" ", "") == why.replace(" ", "")
    assert not any(line.startswith(("est", "ailed")) for line in lines)


async def test_without_block_characters_it_is_ascii(tmp_path: Path, clock: FakeClock) -> None:
    await build_task(tmp_path, clock)
    text = render(await report_of(tmp_path, clock), "text", width=100, blocks=False)
    assert text.isascii()
    assert "######" in text


async def test_a_long_name_leaves_room_for_the_bars(tmp_path: Path, clock: FakeClock) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        async with build.phase("word " * 12):
            await clock.advance(36_000.0)
    lines = render(await report_of(tmp_path, clock), "text", width=50).splitlines()
    assert lines[4].endswith("  share")
    assert lines[5].endswith("  10h 0m 0s    100%      1  ████████")


@pytest.mark.parametrize("width", [40, 61, 80, 200])
async def test_no_line_is_wider_than_the_terminal(
    tmp_path: Path, clock: FakeClock, width: int
) -> None:
    report = await evil(tmp_path, clock)
    lines = render(report, "text", width=width).splitlines()
    assert max(map(cell_len, lines)) <= width
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize(
    ("start", "end", "drawn"),
    [(0.0, 1.0, "████████"), (0.5, 0.75, "    ██"), (0.0, 0.0, "▏"), (0.0, 0.3, "██▍")],
)
def test_a_bar_is_drawn_to_an_eighth_of_a_cell(start: float, end: float, drawn: str) -> None:
    assert bar(start, end, 8) == drawn


# all formats


@pytest.mark.parametrize("form", FORMATS)
async def test_each_format_has_phases_decisions_and_reasons(
    tmp_path: Path, clock: FakeClock, form: str
) -> None:
    await build_task(tmp_path, clock)
    rendered = render(await report_of(tmp_path, clock), form, width=120)
    for words in ("TASK-1", PLAYER, COACH, "feedback", "8 of 9 tests passed"):
        assert words in rendered
    assert rendered.endswith("\n")


@pytest.mark.parametrize("form", FORMATS)
async def test_a_feature_is_told_task_by_task(tmp_path: Path, clock: FakeClock, form: str) -> None:
    await build_feature(tmp_path, clock, waves=(2, 1), at_once=1)
    report = await report_of(tmp_path, clock, "FEAT-1")
    assert [lane.task_id for lane in report.timeline.tasks] == ["TASK-01", "TASK-02", "TASK-03"]
    assert "not shown" not in render(report, "text")
    rendered = render(report, form, width=120)
    for words in ("FEAT-1", "TASK-01", "TASK-03", PLAYER):
        assert words in rendered


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.html", "html"),
        ("a.SVG", "svg"),
        ("a.md", "md"),
        ("a.json", "json"),
        ("a.trace.json", "trace"),
        ("a.txt", "text"),
    ],
)
def test_the_name_of_a_file_asks_for_a_format(name: str, form: str) -> None:
    assert format_of(name) == form


# HTML


async def test_the_html_is_whole_and_needs_nothing_else(tmp_path: Path, clock: FakeClock) -> None:
    await build_task(tmp_path, clock)
    page = render(await report_of(tmp_path, clock), "html")
    read = Tags(page)
    assert not read.seen & {"script", "link", "img", "iframe", "object", "form", "a"}
    assert "default-src 'none'" in page
    assert "prefers-color-scheme:dark" in page
    assert page.count("http") == 2  # the policy's name, and SVG's


async def test_in_the_html_nothing_of_a_build_is_markup(tmp_path: Path, clock: FakeClock) -> None:
    page = render(await evil(tmp_path, clock), "html")
    read = Tags(page)
    assert "script" not in read.seen
    assert any("<script>alert" in words for words in read.words)


async def test_the_name_of_the_machine_is_plain(tmp_path: Path, clock: FakeClock) -> None:
    await build_task(tmp_path, clock)
    report = await report_of(tmp_path, clock)
    tracker = replace(report.snapshot.tracker, host="box\u202e")
    told = replace(report, snapshot=replace(report.snapshot, tracker=tracker))
    assert "UTC on box</footer>" in render(told, "html")


# Markdown


async def test_the_markdown_has_a_gantt_and_tables(tmp_path: Path, clock: FakeClock) -> None:
    await build_task(tmp_path, clock)
    lines = render(await report_of(tmp_path, clock), "md").splitlines()
    begin = lines.index("```mermaid")
    assert lines[begin + 1 : begin + 8] == [
        "gantt",
        "    dateFormat YYYY-MM-DDTHH:mm:ss",
        "    axisFormat %H:%M:%S",
        "    section Outside turns",
        "    12s Setup :2000-01-01T00:00:00, 2000-01-01T00:00:12",
        "    section Turn 1",
        f"    4m 20s {PLAYER} :2000-01-01T00:00:12, 2000-01-01T00:04:32",
    ]
    rows = [line for line in lines if line.startswith("| ")]
    assert rows[0] == "| phase | took | of all | times | share |"
    assert {row.replace(r"\|", "").count("|") for row in rows[:8]} == {6}


async def test_in_a_gantt_phases_have_their_names_in_any_script(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        async with build.phase("Prüfung: 検証"):
            await clock.advance(30.0)
    assert "    30s Prüfung  検証 :2000" in render(await report_of(tmp_path, clock), "md")


async def test_in_markdown_what_a_build_says_is_code(tmp_path: Path, clock: FakeClock) -> None:
    text = render(await evil(tmp_path, clock), "md")
    start, end = text.index("```mermaid"), text.rindex("```")
    outside = text[:start] + text[end:]
    for line in outside.splitlines():
        plain = [part for n, part in enumerate(line.split("``")) if n % 2 == 0]
        assert not any("<" in part or "@" in part for part in plain)
    gantt = text[start:end]
    assert not {*"<>@#;\"'`|\\&%"} & {*gantt.replace("%H:%M:%S", "").replace("```mermaid", "")}


@pytest.mark.parametrize(
    ("text", "span"),
    [("a", "`a`"), ("a`b", "`` a`b ``"), ("``", "``` `` ```"), ("", ""), (" ", "")],
)
def test_a_code_span_ends_where_it_is_meant_to(text: str, span: str) -> None:
    assert code(text) == span


# JSON, and Chrome's traces


async def test_the_json_has_all_that_is_told(tmp_path: Path, clock: FakeClock) -> None:
    await build_task(tmp_path, clock)
    text = render(await report_of(tmp_path, clock, scope="task"), "json")
    found = json.loads(text)
    assert text.isascii()
    assert (found["state"], found["seconds"], found["is_live"]) == ("completed", 725.0, False)
    assert found["shares"][0]["name"] == PLAYER
    assert found["timeline"]["build"]["marks"][0]["why"] == "4 of 9 tests passed"
    assert (found["compared_with"], found["compared"], found["expected"]) == ("task", [], None)


def spans(trace: str) -> list[dict[str, Any]]:
    return [event for event in json.loads(trace)["traceEvents"] if event["ph"] == "X"]


async def test_in_a_trace_what_is_within_another_is_nested(
    tmp_path: Path, clock: FakeClock
) -> None:
    await build_task(tmp_path, clock)
    found = spans(render(await report_of(tmp_path, clock), "trace"))
    assert [(span["name"], span["ts"], span["dur"]) for span in found[:4]] == [
        ("TASK-1", 0, 725_000_000),
        ("Setup", 0, 12_000_000),
        ("Turn 1", 12_000_000, 294_000_000),
        (PLAYER, 12_000_000, 260_000_000),
    ]
    assert {span["tid"] for span in found} == {1}
    for one in found:
        for other in found:
            begins = one["ts"] <= other["ts"] < one["ts"] + one["dur"]
            ends = other["ts"] + other["dur"] <= one["ts"] + one["dur"]
            assert not begins or ends or one["ts"] == other["ts"]


async def test_in_a_trace_phases_that_overlap_have_threads_of_their_own(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
        first, second = build.phase("a"), build.phase("b")
        await first.__aenter__()
        await clock.advance(5.0)
        await second.__aenter__()
        await clock.advance(5.0)
        await first.__aexit__(None, None, None)
        await clock.advance(5.0)
        await second.__aexit__(None, None, None)
    found = spans(render(await report_of(tmp_path, clock), "trace"))
    assert [(span["name"], span["tid"]) for span in found] == [
        *(("TASK-1", 1), ("a", 1), ("b", 1001))
    ]


# other runs


async def test_a_run_is_compared_with_the_earlier_ones_of_its_task(
    tmp_path: Path, clock: FakeClock
) -> None:
    for player in (100.0, 300.0, 200.0):
        await build_once(tmp_path, clock, player, 10.0)
    await build_once(tmp_path, clock, 999.0, 99.0, task_id="TASK-2")
    await build_once(tmp_path, clock, 500.0, 5.0)
    await build_once(tmp_path, clock, 1.0, 1.0)
    runs = [event.run_id for event in read_events("TASK-1", root=tmp_path)]
    fourth = [*dict.fromkeys(runs)][3]
    builds = Builds(tmp_path, clock=clock)
    report = await make_report(builds, "TASK-1", run_id=fourth, scope="task")
    assert list(report.compared) == [
        Compared(name="all in all", seconds=505.0, median=210.0, runs=3),
        Compared(name=PLAYER, seconds=500.0, median=200.0, runs=3),
        Compared(name=COACH, seconds=5.0, median=10.0, runs=3),
    ]
    assert [*map(difference, report.compared)] == [*("4m 55s longer", "5m 0s longer", "5s shorter")]


@pytest.mark.parametrize(
    ("seconds", "median", "words"),
    [
        (256.0, 182.5, "1m 14s longer"),
        (182.5, 256.0, "1m 14s shorter"),
        (7.9, 7.0, "the same"),
        (8.0, 7.9, "1s longer"),
    ],
)
def test_a_difference_is_that_of_the_times_beside_it(
    seconds: float, median: float, words: str
) -> None:
    assert difference(Compared(name=PLAYER, seconds=seconds, median=median, runs=2)) == words


async def test_a_run_is_compared_with_those_of_all_tasks(tmp_path: Path, clock: FakeClock) -> None:
    for number in (2, 3, 4):
        await build_once(tmp_path, clock, number * 10.0, 10.0, task_id=f"TASK-{number}")
    await build_once(tmp_path, clock, 100.0, 10.0)
    report = await report_of(tmp_path, clock, scope="all")
    assert report.compared[1] == Compared(name=PLAYER, seconds=100.0, median=30.0, runs=3)
    assert "Compared with 3 runs of all tasks" in render(report, "text")


async def test_all_that_is_compared_is_of_the_same_runs(tmp_path: Path, clock: FakeClock) -> None:
    for names in (("Setup", PLAYER), (PLAYER, "Lint"), (PLAYER, "Lint"), (PLAYER, "Finalize")):
        async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
            for name in names:
                async with build.phase(name):
                    await clock.advance(10.0)
                await clock.advance(1.0)
    report = await report_of(tmp_path, clock, scope="task")
    assert [(it.name, it.seconds, it.median, it.runs) for it in report.compared] == [
        ("all in all", 22.0, 22.0, 3),
        ("Finalize", 10.0, 0.0, 3),
        (PLAYER, 10.0, 10.0, 3),
        ("between phases", 2.0, 2.0, 3),
        ("Lint", 0.0, 10.0, 3),
    ]
    assert "Compared with its 3 earlier runs\n" in render(report, "text")


async def test_a_feature_is_compared_with_its_earlier_runs(
    tmp_path: Path, clock: FakeClock
) -> None:
    for _ in range(2):
        await build_feature(tmp_path, clock, waves=(2,))
    report = await report_of(tmp_path, clock, "FEAT-1", scope="task")
    assert {it.runs for it in report.compared} == {1}
    assert {it.more for it in report.compared} == {0.0}
    assert len(report.timeline.tasks) == 2
    words = "Compared with its earlier run; phases are those of all its tasks together"
    assert words in render(report, "text")


async def test_runs_that_did_not_end_by_themselves_are_left_out(
    tmp_path: Path, clock: FakeClock
) -> None:
    await build_once(tmp_path, clock, 10.0, 1.0)
    with pytest.raises(asyncio.CancelledError):
        async with track_build("TASK-1", root=tmp_path, clock=clock) as build:
            async with build.phase(PLAYER):
                raise asyncio.CancelledError
    await build_once(tmp_path, clock, 10.0, 1.0)
    report = await report_of(tmp_path, clock, scope="task")
    assert {it.runs for it in report.compared} == {1}


async def test_where_there_is_nothing_to_compare_with_it_says_so(
    tmp_path: Path, clock: FakeClock
) -> None:
    await build_once(tmp_path, clock, 10.0, 1.0)
    for form in ("text", "html", "md"):
        rendered = render(await report_of(tmp_path, clock, scope="task"), form)
        assert "nothing to compare with" in rendered


async def test_what_no_journal_has_is_not_found(tmp_path: Path, clock: FakeClock) -> None:
    await build_once(tmp_path, clock, 10.0, 1.0)
    builds = Builds(tmp_path, clock=clock)
    with pytest.raises(ProgressNotFoundError, match="no build of TASK-2"):
        await make_report(builds, "TASK-2")
    with pytest.raises(ProgressNotFoundError, match="no run 0123456789abcdef of TASK-1"):
        await make_report(builds, "TASK-1", run_id="0123456789abcdef")


async def test_a_build_that_goes_on_is_told_with_its_expected_end(
    tmp_path: Path, clock: FakeClock
) -> None:
    for number in range(5):
        await build_once(tmp_path, clock, 100.0 + number, 10.0, task_id=f"TASK-1{number}")
    async with track_build("TASK-1", root=tmp_path, clock=clock) as build, build.turn() as turn:
        async with turn.phase(PLAYER):
            await clock.advance(30.0)
            report = await report_of(tmp_path, clock)
    assert report.timeline.is_live
    assert report.expected
    assert report.expected.low < 82.0 < report.expected.high
    assert "s more, from 5 builds" in render(report, "text")
    fromstring(render(report, "svg"))


async def test_tasks_that_an_earlier_run_built_are_missed(tmp_path: Path, clock: FakeClock) -> None:
    async with track_build("OLD-1", root=tmp_path, clock=clock) as old:
        pass
    async with track_build(
        "FEAT-1", build_type="feature", task_total=2, root=tmp_path, clock=clock
    ) as feature:
        feature.adopt(old.snapshot)
        async with feature.wave(1) as wave, wave.task("TASK-1"):
            await clock.advance(5.0)
    report = await report_of(tmp_path, clock, "FEAT-1")
    missing = "a task of it is not shown: of an earlier run, or its journal is elsewhere"
    assert missing in render(report, "text", width=80)
    tasks = replace(report.snapshot.tasks, total=4) if report.snapshot.tasks else None
    report = replace(report, snapshot=replace(report.snapshot, tasks=tasks))
    several = "3 of its tasks are not shown: of an earlier run, or their journals are elsewhere"
    assert several in render(report, "text", width=80)


def test_the_nearest_tasks_are_those_beside_it() -> None:
    names = [f"TASK-{number}" for number in range(1, 12)]
    assert near("TASK-6", names, 4) == ["TASK-4", "TASK-5", "TASK-7", "TASK-8"]
    assert near("TASK-1", names, 3) == ["TASK-2", "TASK-3", "TASK-4"]
    assert near("TASK-11", names, 3) == ["TASK-8", "TASK-9", "TASK-10"]
    assert near("TASK-5b", names, 2) == ["TASK-5", "TASK-6"]
    assert near("TASK-1", ["TASK-1"]) == []


async def test_journals_that_cannot_be_read_are_left_out(tmp_path: Path, clock: FakeClock) -> None:
    for number in (1, 2, 3):
        await build_once(tmp_path, clock, 10.0, 1.0, task_id=f"TASK-{number}")
    journal = tmp_path / ".guardkit/autobuild/TASK-2/events.jsonl"
    journal.unlink()
    journal.mkdir()
    assert [events[0].progress.task_id for events in read_near("TASK-1", tmp_path)] == ["TASK-3"]
    builds = Builds(tmp_path, clock=clock)
    assert [*await read_journals(builds, ["TASK-2", "TASK-3"])] == ["TASK-3"]
    assert [*read_near("TASK-1", tmp_path / "nowhere")] == []
