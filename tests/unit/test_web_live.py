"""What browsers are told as builds go on, on real files and a clock that is moved."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from msgspec.structs import replace

from guardkit import Builds, Clock, Event, Look, Snapshot, track_build
from guardkit.errors import InvalidProgressError
from guardkit.places.web.app import Page
from guardkit.places.web.live import Live
from guardkit.places.web.projects import name_projects
from guardkit.places.web.stream import Browser
from guardkit.testing import FakeClock

from ..histories import PLAYER, build_feature, build_once
from ..looks import TRACKER, Writer, document

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]

KEY = "shop", "TASK-1"


class Shop:
    """A folder with builds, and the page of it."""

    def __init__(self, root: Path, clock: FakeClock) -> None:
        self.root = root / "shop"
        self.root.mkdir()
        self.clock = clock
        self.writer = Writer(self.root, clock)
        self.live = Live(name_projects([Builds(self.root, clock=clock)]), clock)
        self.seen: dict[str, Snapshot] = {}

    def begin(self, task_id: str = "TASK-1", **changes: Any) -> Snapshot:
        """Have a living builder take a task, and write."""
        self.writer.hold(task_id)
        seen = document(task_id, tracker=replace(TRACKER, seq=1, heartbeat_seconds=1e9), **changes)
        self.seen[task_id] = self.writer.put(self.writer.own(seen))
        return self.seen[task_id]

    def go_on(self, task_id: str = "TASK-1", **changes: Any) -> Snapshot:
        """Write the next document."""
        old = self.seen[task_id]
        tracker = replace(old.tracker, seq=old.tracker.seq + 1)
        new = replace(old, tracker=tracker, **changes)
        self.seen[task_id] = self.writer.put(self.writer.own(new))
        return new

    async def get(self, path: str) -> httpx2.Response:
        """Return what is answered to a request; time moves as it waits."""
        transport = httpx2.ASGITransport(Page(self.live).app(), raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://box") as client:
            return await client.get(path)


@pytest.fixture
async def shop(tmp_path: Path, clock: FakeClock) -> AsyncGenerator[Shop]:
    shop = Shop(tmp_path, clock)
    shop.begin()
    async with shop.live:
        await clock.advance(0.0)
        yield shop


@asynccontextmanager
async def looking(shop: Shop, key: tuple[str, str] | None = None) -> AsyncIterator["Told"]:
    """Look on; what a page begins with is taken already."""
    with shop.live.joined(key) as browser:
        told = Told(browser, shop.clock)
        await told.take()
        yield told
        await told.close()


class Told:
    """What a browser is told."""

    def __init__(self, browser: Browser, clock: FakeClock) -> None:
        self._events, self._clock = browser.events(), clock
        self._next = asyncio.ensure_future(anext(self._events))

    async def take(self, seconds: float = 0.0) -> str:
        """Return what is told within some seconds."""
        await self._clock.advance(seconds)
        found = b""
        while self._next.done():
            found += self._next.result()
            self._next = asyncio.ensure_future(anext(self._events))
            await self._clock.advance(0.0)
        return found.decode()

    async def close(self) -> None:
        self._next.cancel()
        await asyncio.wait({self._next})


async def test_a_phase_that_is_entered_is_told_at_once(shop: Shop) -> None:
    async with looking(shop) as told:
        shop.go_on(turn=1, phase="Player Implementation", phase_status="in_progress")
        news = await told.take(0.5)
        assert "Turn 1/5, Player Implementation" in news


async def test_a_build_that_begins_appears(shop: Shop) -> None:
    async with looking(shop) as told:
        shop.begin("TASK-2", task_name="The second")
        news = await told.take(0.5)
        assert "The second" in news
        assert "2 running" in news


async def test_a_builder_that_dies_is_told_of_with_the_evidence(shop: Shop) -> None:
    async with looking(shop) as told:
        shop.writer.let_go()
        news = await told.take(0.5)
        assert "1 crashed" in news
        assert "no longer holds the lock of TASK-1" in news


@pytest.fixture
async def far(tmp_path: Path, clock: FakeClock) -> AsyncGenerator[Shop]:
    """A shop with a build of another machine, which is a day behind by the wall clock."""
    shop = Shop(tmp_path, clock)
    tracker = replace(TRACKER, seq=1, boot_id="another")
    old = document(updated_at=clock.now() - timedelta(days=1), tracker=tracker)
    shop.seen["TASK-1"] = shop.writer.put(old)
    async with shop.live:
        await clock.advance(0.0)
        yield shop


async def test_a_build_that_fell_silent_long_ago_never_looks_alive(far: Shop) -> None:
    """A watch that has just begun has not been silent for long, which is no news of the build."""
    async with looking(far):
        for seconds in (0.0, 1.0, 20.0, 60.0):
            await far.clock.advance(seconds)
            for path in ("/", "/builds/shop/TASK-1"):
                page = (await far.get(path)).text
                assert 'class="state lost"' in page
                assert re.search(r"no heartbeat for 864\d\d s by the wall clock", page)


async def test_a_build_that_beats_is_not_lost_whatever_its_clock_says(far: Shop) -> None:
    async with looking(far):
        seen = far.seen["TASK-1"]
        for _ in range(9):
            seen = replace(seen, tracker=replace(seen.tracker, seq=seen.tracker.seq + 1))
            far.writer.put(seen)
            await far.clock.advance(4.0)
        assert 'class="state lost"' not in (await far.get("/")).text


async def test_figures_grow_while_somebody_looks_on(shop: Shop) -> None:
    async with looking(shop) as told:
        assert "7s elapsed" in await told.take(7.0)


async def test_nothing_is_looked_at_again_while_nobody_looks_on(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[object] = []
    source = shop.live.projects["shop"].source
    monkeypatch.setattr(source, "look", looks.append)
    await shop.clock.advance(60.0)
    assert looks == []


async def test_the_page_of_one_build_is_told_of_that_alone(shop: Shop) -> None:
    shop.begin("TASK-2")
    await shop.clock.advance(0.5)
    async with looking(shop, KEY) as told:
        shop.go_on("TASK-2", turn=1, phase="Other", phase_status="in_progress")
        await shop.clock.advance(0.5)
        shop.go_on("TASK-1", turn=1, phase="Own", phase_status="in_progress")
        news = await told.take(0.5)
        assert "Own" in news
        assert "Other" not in news
        assert 'data-title="running: TASK-1 - guardkit"' in news


async def test_what_the_journal_has_is_told_to_who_looks_at_the_build(shop: Shop) -> None:
    async with looking(shop, KEY) as told:
        shop.writer.append("build.started", shop.seen["TASK-1"])
        shop.go_on(turn=1, phase="Setup", phase_status="in_progress")
        shop.writer.append("phase.started", shop.seen["TASK-1"])
        news = await told.take(3.0)
        assert re.search(r'id="shop:TASK-1:phases".*<td>Setup</td>', news, re.DOTALL)


async def test_the_answers_know_what_was_before_the_page(tmp_path: Path, clock: FakeClock) -> None:
    shop = Shop(tmp_path, clock)
    seen = shop.begin(turn=1, phase="Setup", phase_status="in_progress")
    shop.writer.append("phase.started", seen)
    shop.go_on(message="Edit a.py")
    async with shop.live, looking(shop) as told:
        await told.take(2.0)
        assert "Edit a.py" in shop.live.board.whole().decode()


async def test_the_page_has_what_is_there(shop: Shop) -> None:
    answer = await shop.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "TASK-1" in answer.text
    assert "<title>1 running - guardkit</title>" in answer.text
    assert answer.text.endswith("</html>")


async def test_a_build_that_has_just_begun_is_looked_for(shop: Shop) -> None:
    shop.begin("TASK-2")
    assert ("shop", "TASK-2") not in shop.live.looks
    assert (await shop.get("/builds/shop/TASK-2")).status_code == 200


async def test_the_page_of_a_build_has_its_journal(shop: Shop) -> None:
    shop.writer.append("build.started", shop.seen["TASK-1"])
    shop.go_on(turn=1, phase="Setup", phase_status="in_progress")
    shop.writer.append("phase.started", shop.seen["TASK-1"])
    answer = await shop.get("/builds/shop/TASK-1")
    assert "<title>running: TASK-1 - guardkit</title>" in answer.text
    assert "<td>Setup</td>" in answer.text


@pytest.mark.parametrize("before", [["TASK-9"] * 5, [f"TASK-{n}" for n in range(2, 7)]])
async def test_the_page_of_a_build_says_how_much_longer_it_may_take(
    tmp_path: Path, clock: FakeClock, before: list[str]
) -> None:
    shop = Shop(tmp_path, clock)
    for task_id in before:
        await build_once(shop.root, clock, 600, 60, task_id=task_id)
    async with track_build("TASK-9", root=shop.root, clock=clock) as build:
        async with build.turn() as turn, turn.phase(PLAYER):
            await clock.advance(60)
            async with shop.live:
                await clock.advance(0.0)
                answer = await shop.get("/builds/shop/TASK-9")
    found = re.findall(r"<strong>(.*)</strong>", answer.text)
    assert found == ["9 to 11 min more, from 5 builds"]


async def test_the_page_of_a_feature_has_its_tasks_and_their_lanes(
    tmp_path: Path, clock: FakeClock
) -> None:
    shop = Shop(tmp_path, clock)
    await build_feature(shop.root, clock, waves=(2, 1))
    async with shop.live:
        await clock.advance(0.0)
        answer = await shop.get("/builds/shop/FEAT-1")
    assert re.findall(r'<a id="shop:FEAT-1:to-(TASK-\d+)"', answer.text) == [
        *("TASK-01", "TASK-02", "TASK-03")
    ]
    assert answer.text.count("<svg") == answer.text.count(">Wave 2/2</text>") == 2


async def test_the_page_of_a_feature_tells_of_tasks_that_an_earlier_run_built(
    tmp_path: Path, clock: FakeClock
) -> None:
    shop = Shop(tmp_path, clock)
    options: dict[str, Any] = {"root": shop.root, "clock": clock}
    async with track_build("OLD-1", **options) as old:
        pass
    async with track_build("FEAT-1", build_type="feature", task_total=2, **options) as feature:
        feature.adopt(old.snapshot)
        async with feature.wave(1) as wave, wave.task("TASK-2"):
            await clock.advance(5.0)
    async with shop.live:
        await clock.advance(0.0)
        answer = await shop.get("/builds/shop/FEAT-1")
    assert "a task of it is not shown: of an earlier run" in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/builds/shop/TASK-2",
        "/builds/shop/TASK-2/stream",
        "/builds/other/TASK-1",
        "/builds/shop/..%2f..%2fetc%2fpasswd",
        "/builds/shop/TASK-1/progress.json",
        "/builds/shop/",
        "/../../etc/passwd",
        "/static/script.js",
        "/templates/base.html",
        "/style.css/",
    ],
)
async def test_there_is_nothing_else(shop: Shop, path: str) -> None:
    answer = await shop.get(path)
    assert answer.status_code in {307, 404}
    assert "root:" not in answer.text


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/style.css", "text/css; charset=utf-8"),
        ("/script.js", "text/javascript; charset=utf-8"),
        ("/trouble.svg", "image/svg+xml"),
    ],
)
async def test_its_own_files_are_served(shop: Shop, path: str, kind: str) -> None:
    answer = await shop.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)


class Broken:
    """A source that cannot be looked at, or breaks off."""

    where = "nats://box"

    def __init__(self, clock: Clock, error: Exception) -> None:
        self.clock, self.error = clock, error
        self.looks = 0

    async def look(self, task_ids: object = ()) -> list[Look]:
        self.looks += 1
        raise self.error

    async def events(self, task_id: str) -> list[Event]:
        raise self.error

    async def watch(self, task_ids: object = (), *, past: bool = False) -> AsyncGenerator[Look]:
        raise self.error
        yield


@pytest.mark.parametrize(
    "error", [InvalidProgressError("no <server> answers"), RuntimeError("no <server> answers")]
)
async def test_a_project_that_cannot_be_seen_costs_no_other_one(
    tmp_path: Path, clock: FakeClock, error: Exception
) -> None:
    shop = Shop(tmp_path, clock)
    shop.begin()
    broken = Broken(clock, error)
    shop.live = Live(name_projects([broken, Builds(shop.root, clock=clock)]), clock)
    async with shop.live:
        await clock.advance(0.0)
        answer = await shop.get("/")
        assert "no &lt;server&gt; answers" in answer.text
        assert "TASK-1" in answer.text
        await clock.advance(4.0)
        assert broken.looks > 2


async def test_a_build_that_goes_while_its_journal_is_read_is_no_news(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    source = shop.live.projects["shop"].source
    read = source.events

    async def events(task_id: str) -> list[Event]:
        found = await read(task_id)
        shop.live.looks.pop(KEY, None)
        return found

    monkeypatch.setattr(source, "events", events)
    await shop.live.histories.read(KEY)
    assert caplog.text == ""


class Away(Builds):
    """Builds that nobody can look at for a while; their watch waits in silence."""

    is_away = False

    async def look(self, task_ids: str | Iterable[str] = ()) -> list[Look]:
        if self.is_away:
            raise InvalidProgressError("no <server> answers")
        return await super().look(task_ids)


async def test_builds_that_cannot_be_seen_for_a_while_do_not_look_alive(
    tmp_path: Path, clock: FakeClock
) -> None:
    shop = Shop(tmp_path, clock)
    shop.begin()
    source = Away(shop.root, clock=clock)
    shop.live = Live(name_projects([source]), clock)
    async with shop.live, looking(shop) as told, looking(shop, KEY) as own:
        await told.take(10.0)
        source.is_away = True
        news = await told.take(3.0)
        assert re.search(r"no &lt;server&gt; answers; what is below is as of \d\d:", news)
        assert "running; no &lt;server&gt; answers" in await own.take()
        assert "elapsed" not in await told.take(60.0)
        assert "11s elapsed" in (await shop.get("/")).text
        source.is_away = False
        assert re.search(r"1m 1\ds elapsed", await told.take(3.0))
        assert "answers" not in (await shop.get("/")).text
        assert "answers" not in (await shop.get("/builds/shop/TASK-1")).text


async def test_builds_that_are_gone_are_shown_no_longer(shop: Shop) -> None:
    folder = shop.writer.folder / "TASK-2"
    shop.writer.put(document("TASK-2", status="completed"))
    await shop.clock.advance(0.5)
    async with looking(shop) as told:
        assert "TASK-2" in (await shop.get("/")).text
        folder.rename(folder.with_name(".away"))
        news = await told.take(60.0)
        assert "TASK-1" in news
        assert "TASK-2" not in news.rpartition('<div id="builds"')[2]
        assert (await shop.get("/builds/shop/TASK-2")).status_code == 404
        folder.with_name(".away").rename(folder)
        assert "TASK-2" in await told.take(60.0)


async def test_the_page_of_a_build_that_is_gone_does_not_stay_live(shop: Shop) -> None:
    with shop.live.joined(KEY) as browser:
        reading = asyncio.create_task(_drain(browser))
        await shop.clock.advance(1.0)
        assert not reading.done()
        shop.writer.folder.joinpath("TASK-1").rename(shop.root / "away")
        await shop.clock.advance(60.0)
        assert reading.done()


async def _drain(browser: Browser) -> None:
    async for _ in browser.events():
        pass


async def test_a_journal_that_cannot_be_read_says_why(shop: Shop) -> None:
    path = shop.writer.folder / "TASK-1/events.jsonl"
    path.mkdir()
    answer = await shop.get("/builds/shop/TASK-1")
    assert answer.status_code == 200
    assert "The journal: " in answer.text


async def test_a_journal_that_cannot_be_shown_costs_the_page_of_its_build_alone(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shop.begin("TASK-2")
    monkeypatch.setattr("guardkit.places.web.histories.make_history", lambda *_: 1 / 0)
    async with looking(shop, KEY) as told:
        shop.writer.append("build.started", shop.go_on(turn=1))
        assert "The journal cannot be shown." in await told.take(3.0)
        assert (await shop.get("/builds/shop/TASK-1")).status_code == 200
        assert (await shop.get("/")).status_code == 200
    assert "what the journal of TASK-1 tells could not be shown: ZeroDivisionError" in caplog.text


async def test_a_defect_of_ours_does_not_leave_a_page_that_looks_alive(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop(tmp_path, clock)
    with pytest.raises(ExceptionGroup) as caught:
        async with shop.live, looking(shop):
            monkeypatch.setattr(shop.live.board, "tell", lambda: 1 / 0)
            await clock.advance(5.0)
    assert isinstance(caught.value.exceptions[0], ZeroDivisionError)


async def test_a_page_that_could_not_be_made_is_told_of(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shop.live.board, "whole", lambda: 1 / 0)
    answer = await shop.get("/")
    assert (answer.status_code, "Error" in answer.text) == (500, False)
    assert "a request for '/' could not be answered: ZeroDivisionError" in caplog.text
