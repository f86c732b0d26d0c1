"""One build through every place where people look, in ten situations: the same words in each."""

import json
import re
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from guardkit.clock import SYSTEM_CLOCK
from guardkit.monitor.builds import Builds
from guardkit.places.plain import clean
from guardkit.places.words import WELL
from guardkit.progress.lock import boot_id
from guardkit.progress.snapshot import Snapshot, Tasks

from .. import serving as pages
from ..looks import TRACKER, Writer, document
from .test_cli import guardkit
from .test_mcp import serving
from .test_statusline import session, shown

TASK = "TASK-1"
HOUR = 3600.0
PLACE = "Wave N/N, TASK-N (Turn N/N, Coach Validation)"
OVER = {"completed", "failed", "cancelled", "crashed", "lost", "unreadable"}


def now(**changes: Any) -> Snapshot:
    """Return the document of a build that has been written just now, and is written hourly."""
    at = datetime.now(UTC).replace(microsecond=0)
    tracker = replace(
        TRACKER,
        heartbeat_seconds=changes.pop("heartbeat", HOUR),
        boot_id=boot_id(),
        beat=SYSTEM_CLOCK.monotonic() - changes.pop("silent", 0.0),
        activity_at=at - timedelta(seconds=changes.pop("idle", 0.0)),
        phase_started_at=at - timedelta(seconds=120),
        budget_seconds=changes.pop("budget", None),
        lock=changes.pop("lock", None),
        phase_number=1,
    )
    told = {"phase": "Coach Validation", "phase_status": "in_progress", "turn": 2, "wave_total": 3}
    return document(TASK, started_at=at, updated_at=at, tracker=tracker, **told | changes)


def put(**changes: Any) -> Callable[[Writer], object]:
    return lambda writer: writer.put(now(**changes))


def crash(writer: Writer) -> None:
    writer.hold("TASK-2", "other")
    lock = writer.own(document()).tracker.lock
    writer.put(now(lock=lock))


def block(writer: Writer) -> None:
    writer.hold(TASK, "r")
    writer.put(now(heartbeat=5.0, silent=100.0, lock=writer.own(document()).tracker.lock))


def lose(writer: Writer) -> None:
    seen = now(heartbeat=5.0)
    at = seen.updated_at - timedelta(days=1)
    tracker = replace(seen.tracker, host="far", boot_id="another", activity_at=at)
    writer.put(replace(seen, updated_at=at, tracker=tracker))


SITUATIONS: dict[str, Callable[[Writer], object]] = {
    "running": put(),
    "completed": put(status="completed", decision="approved"),
    "failed": put(status="failed", error="out of ideas"),
    "cancelled": put(status="cancelled"),
    "stalled": put(idle=2000.0),
    "overdue": put(budget=60.0),
    "crashed": crash,
    "unresponsive": block,
    "lost": lose,
    "unreadable": lambda writer: writer.put_bytes(TASK, b"{"),
}


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    return Writer(tmp_path, SYSTEM_CLOCK)  # type: ignore[arg-type]


def timeless(text: str) -> str:
    """Return words without numbers, which go on while one place after the other is asked."""
    return re.sub(r"\d+", "N", clean(text))


def asked_by_mcp(root: Path, task_id: str = TASK) -> tuple[str, str]:
    """Return what an agent is told of a build, and what Codex shows below its prompt."""
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t"}}
    call = {"name": "build_status", "arguments": {"task_id": task_id}}
    asked = [
        ("initialize", hello),
        ("tools/call", call),
        ("resources/read", {"uri": "ui://guardkit/footer"}),
    ]
    lines = [
        json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        for number, (method, params) in enumerate(asked)
    ]
    with serving(root) as server:
        told, complaints = server.communicate("\n".join([*lines, ""]).encode())
    assert complaints == b""
    answers = {each["id"]: each["result"] for each in map(json.loads, told.splitlines())}
    return json.dumps(answers[1], ensure_ascii=False), json.dumps(answers[2], ensure_ascii=False)


def read_page(root: Path) -> tuple[str, str]:
    """Return what the page of all builds says, and the one that it links to of the first."""
    with pages.serving(str(root)) as served:
        of_all = _get(served.url)
        link = re.findall(r'href="(/builds/[^"]+)"', of_all)[0]
        return _words(of_all), _words(_get(served.url.rstrip("/") + link))


def _get(url: str) -> str:
    with urllib.request.urlopen(url) as answer:  # noqa: S310 - of a server that the test has started
        return str(answer.read().decode())


def _words(page: str) -> str:
    """Return what is read of a page, below its head."""
    text = re.sub(r"<[^>]*>", " ", page[page.index("<main") :])
    return " ".join(unescape(text).split())


@pytest.mark.parametrize("state", SITUATIONS)
def test_every_place_says_the_same_of_a_build(writer: Writer, tmp_path: Path, state: str) -> None:
    SITUATIONS[state](writer)
    [look] = Builds(tmp_path).look_now([TASK])
    assert look.verdict.state == state
    why = timeless(look.verdict.evidence)
    in_json = guardkit("status", TASK, "--json", "--root", str(tmp_path))
    [record] = json.loads(in_json.stdout)
    assert (record["verdict"]["state"], timeless(record["verdict"]["evidence"])) == (state, why)
    told, footer = asked_by_mcp(tmp_path)
    where = ("--root", str(tmp_path))
    places = {"status": guardkit("status", TASK, *where).stdout, "mcp": told}
    if state != "lost":  # who waits measures silence by a clock of its own
        wait = ("wait", TASK, "--until", "trouble", "--timeout", "0.01")
        places["wait"] = guardkit(*wait, *where).stdout
    if state != "lost":  # it fell silent a day ago, which is no news
        places |= {"status line": " ".join(shown(session(tmp_path))), "footer": footer}
    for said in map(timeless, read_page(tmp_path)):
        assert f"{state} TASK-N " in said
        assert state in WELL or why in said
        assert state == "unreadable" or f"TASK-N {PLACE.partition('(')[2][:-1]} " in said
    for name, said in places.items():
        text = timeless(said.replace('\\"', '"'))
        assert state in text, name
        assert state in WELL or (why[:40] if name == "footer" else why) in text, name
        assert state == "unreadable" or PLACE in text, name
    if state in OVER:
        assert guardkit("watch", TASK, *where).returncode == in_json.returncode


TASKS = Tasks(total=5, pending=1, running=1, completed=2, failed=1)
TOLD = "2 of 5 tasks; TASK-1 failed; running TASK-3; next TASK-5"


@pytest.mark.parametrize(
    ("idle", "state", "why"),
    [
        pytest.param(0.0, "running", "", id="well"),
        pytest.param(2000.0, "stalled", "TASK-3: no activity for N s", id="a task stalls"),
    ],
)
def test_every_place_says_the_same_of_a_feature(
    writer: Writer, tmp_path: Path, idle: float, state: str, why: str
) -> None:
    """Say where it is, which task is the worst, and what comes next."""
    whole = {"build_id": "FEAT-1", "build_type": "feature", "wave": 2}
    own = now(turn=0, phase="Setup", phase_status="completed", message=TOLD, tasks=TASKS, **whole)
    writer.put(replace(own, task_id="FEAT-1"))
    tasks: dict[str, dict[str, Any]] = {
        "TASK-1": {"status": "failed", "error": "out of ideas", "wave": 1},
        "TASK-3": {"idle": idle},
    }
    for task_id, changes in tasks.items():
        task = now(**(whole | changes))
        tracker = replace(task.tracker, parent_run=own.tracker.run_id, run_id=task_id)
        writer.put(replace(task, task_id=task_id, tracker=tracker))
    where = ("--root", str(tmp_path))
    told, footer = asked_by_mcp(tmp_path, "FEAT-1")
    one = guardkit("status", "FEAT-1", *where).stdout
    places = {
        "status of all": guardkit("status", *where).stdout,
        "status of the feature": one,
        "wait": guardkit("wait", "FEAT-1", "--timeout", "0.01", *where).stdout,
        "mcp": told,
        "status line": "\n".join(shown(session(tmp_path))),
        "footer": footer,
    }
    for name, said in places.items():
        assert f"Wave 2/3, FEAT-1 ({TOLD}) - " in said, name
        assert state in said, name
        assert why in timeless(said).replace("TASK-N", "TASK-3"), name
        is_about_one = name in {"status line", "footer"}
        assert not (is_about_one and "more" in said), f"{name} tells of the tasks by the feature"
    for said in read_page(tmp_path):
        assert f"{state} FEAT-1 {TOLD} " in said
        assert why in timeless(said).replace("TASK-N", "TASK-3")
    below = "Wave 1/3, TASK-1 (Turn 2/5, Coach Validation) - 0s elapsed - ended after 0 s"
    for said in (one, told):
        assert f"failed:  {below}: out of ideas" in said
        assert said.index("TASK-1 (Turn") < said.index("TASK-3 (Turn") or state == "stalled"
