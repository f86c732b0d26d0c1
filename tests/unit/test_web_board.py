"""What of the page changes when a build does: no more than what is new, and all of it escaped."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from msgspec.structs import replace

from guardkit import Builds, Event, Look, Snapshot, Verdict
from guardkit.places.plain import clean
from guardkit.places.runs import runs
from guardkit.places.timeline.seeing import Seeing
from guardkit.places.web import board as module
from guardkit.places.web.board import Board
from guardkit.places.web.history import make_history
from guardkit.places.web.pages import Pages, summarize
from guardkit.places.web.papers import Paper
from guardkit.places.web.projects import Project, name_projects
from guardkit.places.web.seen import EVENTS_MAX, Seen
from guardkit.progress.snapshot import make_event
from guardkit.testing import FakeClock

from ..looks import START, TRACKER, document, feature, task

EVIL = "<script>alert(1)</script>\"' onload=x {{ 7*7 }} </p><!--\x1b[31m\u202e"


class Tags(HTMLParser):
    """The tags that a browser sees in HTML, and the names of their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def count(self, tag: str) -> int:
        return self.tags.count(tag)


def look(seen: Snapshot, state: str = "running", why: str = "last activity 3 s ago") -> Look:
    return Look(seen.task_id, seen, Verdict(state, why), "here")  # type: ignore[arg-type]


def later(seen: Snapshot, **changes: Any) -> Snapshot:
    tracker = replace(seen.tracker, seq=seen.tracker.seq + 1)
    return replace(seen, tracker=tracker, **changes)


class Shop:
    """The page of one project."""

    def __init__(self, clock: FakeClock) -> None:
        self.seen = Seen()
        self.projects = [Project("shop", "shop", Builds("/shop", clock=clock))]
        self.board = Board(self.projects, self.seen, Pages(), clock)

    def find(self, *looks: Look) -> "Shop":
        self.seen.find("shop", looks)
        return self

    def ids(self) -> list[str]:
        """Return the ids of what is new, in order."""
        news = self.board.tell()
        html = [*news.page, *(part for parts in news.parts.values() for part in parts)]
        return [re.findall(r' id="([^"]*)"', each)[0] for each in html]


@pytest.fixture
def shop(clock: FakeClock) -> Shop:
    return Shop(clock)


def test_before_the_first_look_it_says_so(shop: Shop) -> None:
    assert shop.ids() == ["builds"]
    assert "Looking for builds" in shop.board.whole().decode()


def test_where_there_is_no_build_it_says_so(shop: Shop) -> None:
    shop.find().board.tell()
    assert "No build is known here yet" in shop.board.whole().decode()


def test_a_project_that_cannot_be_seen_says_why(shop: Shop) -> None:
    shop.seen.troubles["shop"] = "the disk is <gone>"
    shop.board.tell()
    assert "the disk is &lt;gone&gt;" in shop.board.whole().decode()
    shop.find()
    assert shop.ids() == ["builds"]
    assert "disk" not in shop.board.whole().decode()


def test_a_change_tells_of_the_parts_that_it_changes(shop: Shop) -> None:
    seen = document(turn=1)
    shop.find(look(seen))
    assert shop.ids() == ["builds", "sum"]
    assert shop.ids() == []
    seen = later(seen, phase="Coach Validation", phase_status="in_progress")
    shop.seen.take("shop", look(seen))
    assert shop.ids() == ["shop:TASK-1:at", "shop:TASK-1:said"]
    shop.seen.take("shop", look(seen, why="last activity 4 s ago"))
    assert shop.ids() == ["shop:TASK-1:why"]


def test_another_state_moves_a_build_and_is_summed_up(shop: Shop) -> None:
    one, two = document("TASK-1"), document("TASK-2")
    shop.find(look(one), look(two)).board.tell()
    shop.seen.take("shop", look(two, "crashed"))
    news = shop.board.tell()
    assert 'id="builds"' in news.page[0]
    assert news.page[0].index("TASK-2") < news.page[0].index("TASK-1")
    assert "1 crashed, 1 running" in news.page[1]
    assert [*news.parts] == [("shop", "TASK-2")]


def test_a_new_build_comes_whole_and_the_others_are_kept(shop: Shop) -> None:
    shop.find(look(document("TASK-1", task_name="Old"))).board.tell()
    shop.seen.take("shop", look(document("TASK-2", task_name="New")))
    html = "".join(shop.board.tell().page)
    assert '<article id="shop:TASK-1" data-keep></article>' in html
    assert "New" in html
    assert "Old" not in html


def test_one_that_was_left_out_comes_whole_when_it_is_shown_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHOWN_MAX", 1)
    one, two = document("TASK-1", task_name="One"), document("TASK-2", task_name="Two")
    shop.find(look(one), look(two)).board.tell()
    shop.seen.take("shop", look(two, "failed"))
    assert "Two" in "".join(shop.board.tell().page)
    assert "+1 more" in shop.board.whole().decode()
    shop.seen.take("shop", look(one, "crashed"))
    assert "One" in "".join(shop.board.tell().page)


def test_all_of_the_page_has_features_with_their_waves(shop: Shop) -> None:
    tasks = [task(f"TASK-{n}", 0, wave=n, wave_total=2) for n in (1, 2)]
    shop.find(look(feature(wave_total=2)), *map(look, tasks)).board.tell()
    page = shop.board.whole().decode()
    names = ["FEAT-1:name", "Wave 1/2", "TASK-1:name", "Wave 2/2", "TASK-2:name"]
    assert sorted(names, key=page.index) == names


def test_whatever_a_build_says_is_no_markup(shop: Shop) -> None:
    texts: dict[str, Any] = dict.fromkeys(("task_name", "phase", "message", "error"), EVIL)
    seen = document(build_id=EVIL, turn=1, phase_status="in_progress", **texts)
    part = replace(seen, task_id="TASK-2", build_type="feature", message=None)
    shop.find(look(seen, why=EVIL), look(part, why=EVIL)).board.tell()
    shop.seen.troubles["shop"] = EVIL
    shop.board.tell()
    page, key = shop.board.whole().decode(), ("shop", "TASK-1")
    names = ("turn.started", "phase.started", "decided")
    [run] = runs([make_event(name, START, replace(seen, decision=EVIL)) for name in names])
    history = make_history(seen, Seeing(0.0, [], [run]).timeline(run), [run])
    paper = Paper(decision=clean(EVIL), issues=(EVIL,), files={EVIL: EVIL}, player=EVIL, tests=EVIL)
    pages = Pages()
    told = pages.history("shop:TASK-1", history, dict.fromkeys(range(9), paper), EVIL)
    own = pages.build_page(shop.projects[0], shop.board.view(key), shop.board.render(key), told)
    for html in (page, own, pages.notice(EVIL, EVIL)):
        assert "&lt;script&gt;alert" in html
        tags = Tags(html)
        assert tags.count("script") == html.count('<script src="/script.js" defer></script>')
        assert not any(name.startswith(("on", "style")) for name in tags.attributes)
        assert "49" not in html.replace("{{ 7*7 }}", "")
        assert not {*"\x1b\u202e"} & {*html}


def test_tasks_of_a_feature_have_links_if_they_can_be_named() -> None:
    tasks = [task("TASK-1", 0), task("../etc", 0)]
    events = [make_event("build.started", START, each) for each in (feature(), *tasks)]
    run, *others = runs(events)
    told = make_history(feature(), Seeing(0.0, [], [run, *others]).timeline(run))
    html = Pages().history("shop:FEAT-1", told, {})
    assert 'href="/builds/shop/TASK-1"' in html
    assert "<td>../etc</td>" in html


def test_a_folder_may_be_called_anything(clock: FakeClock) -> None:
    [odd] = name_projects([Builds(f"/home/{EVIL}", clock=clock)])
    assert re.fullmatch(r"[A-Za-z0-9._-]+", odd.slug)
    pages = Pages()
    board = Board([odd], Seen(), pages, clock)
    board.tell()
    assert "<script>" not in board.whole().decode()


def test_projects_of_one_name_are_told_apart(clock: FakeClock) -> None:
    sources = [Builds(path, clock=clock) for path in ("/a/shop", "/b/shop", "/", "/c/shop")]
    projects = name_projects(sources)
    assert [each.slug for each in projects] == ["shop", "shop-2", "builds", "shop-3"]


def test_the_sum_names_what_needs_somebody() -> None:
    how = summarize([("a", "running"), ("b", "crashed"), ("c", "completed"), ("d", "stalled")])
    assert how.text == "1 crashed, 1 stalled, 1 running, 1 completed"
    assert (how.title, how.icon) == ("2 in trouble, 1 running - guardkit", "/trouble.svg")
    assert how.needs == "b=crashed d=stalled"
    assert summarize([("a", "running")]).icon == "/running.svg"
    assert (summarize([]).title, summarize([]).icon) == ("guardkit", "/idle.svg")


def events_of(seen: Snapshot, number: int) -> list[Event]:
    documents = (replace(seen, tracker=replace(TRACKER, seq=n)) for n in range(number))
    return [make_event("phase.started", START, each) for each in documents]


def test_of_a_journal_the_newest_events_of_the_run_are_kept() -> None:
    seen, key = Seen(), ("shop", "TASK-1")
    running = document()
    seen.find("shop", [look(running)])
    events = events_of(running, EVENTS_MAX + 5)
    seen.add_events(key, [*events[9:], *events[:20]])
    assert [each.seq for each in seen.events(key)] == [*range(5, EVENTS_MAX + 5)]
    other = replace(running, tracker=replace(TRACKER, run_id="other"))
    seen.take("shop", look(other))
    seen.add_events(key, events)
    assert [*seen.events(key)] == []


def test_nothing_is_kept_of_the_journal_of_one_that_is_over() -> None:
    seen, key = Seen(), ("shop", "TASK-1")
    running = document()
    seen.find("shop", [look(running)])
    seen.add_events(key, events_of(running, 3))
    seen.take("shop", look(replace(running, status="failed"), "failed"))
    assert (seen.events(key), seen.active("shop")) == ((), [])


@pytest.mark.parametrize(
    ("newer", "state", "taken"),
    [({"seq": 2}, "running", True), ({"seq": 0}, "running", False), ({"seq": 2}, "lost", False)],
    ids=["newer", "older", "another state"],
)
def test_newer_figures_are_taken_where_the_state_is_the_same(
    newer: dict[str, Any], state: str, taken: bool
) -> None:
    seen = Seen()
    old = document(tracker=replace(TRACKER, seq=1))
    new = replace(old, tracker=replace(TRACKER, **newer))
    seen.find("shop", [look(old)])
    seen.refresh("shop", [look(new, state, "last activity 0 s ago")])
    assert (seen.looks["shop", "TASK-1"].snapshot is new) is taken


def test_those_that_were_told_of_longest_ago_are_told_of_first() -> None:
    seen = Seen()
    seen.find("shop", [look(document(f"TASK-{n}")) for n in range(4)])
    seen.take_new()
    seen.age(2)
    assert seen.take_new() == [("shop", "TASK-0"), ("shop", "TASK-1")]
    seen.age(2)
    assert seen.take_new() == [("shop", "TASK-2"), ("shop", "TASK-3")]
