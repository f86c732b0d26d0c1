"""What it costs to follow an agent, and how soon it is seen. Measured by `tox -e long`."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from guardkit import read_progress

from ..agent_scripts import PLAYERS, TASK, install, make_project
from .test_cut_off import autobuild

pytestmark = pytest.mark.usefixtures("git_identity")

RATE = 1000  # events a second
SHARE = 0.1  # of a core
GROWTH = 4096  # KiB
TOOLS = 20
EVENTS = {
    "claude": """dict(type="stream_event", session_id="s" * 36, event=dict(
        type="content_block_delta", delta=dict(type="text_delta", text="some words of it")))""",
    "codex": """dict(type="item.started", item=dict(id=f"item_{n}", type="command_execution",
        command="/bin/bash -lc 'pytest -q'", aggregated_output="", status="in_progress"))""",
    "agent": """dict(method="session/update", params=dict(update=dict(
        sessionUpdate="agent_message_chunk", content=dict(text="some words "))))""",
    "plain": '"a line of what a test runner prints"',
}
WRITE = """
begun, n = time.monotonic(), 0
while time.monotonic() < begun + {seconds}:
    while n < (time.monotonic() - begun) * {rate}:
        say_one = {event}
        print(json.dumps(say_one), flush=True)
        n += 1
    time.sleep(0.001)
    Path(os.environ["TOLD"]).write_text(str(n))
Path(os.environ["TOLD"]).write_text("over")
"""


WRITE_ALL = """
for n in range({number}):
    print(json.dumps({event}), flush=n % 100 == 0)
    if n % 1000 == 0:
        Path(os.environ["TOLD"]).write_text(str(n))
Path(os.environ["TOLD"]).write_text("over")
"""
AN_HOUR = 3600  # seconds of events
BYTES = 5  # an event, less than the least that could be kept of it takes


def used(pid: int) -> tuple[float, int]:
    """Return what a process has used of the processor, in seconds, and its memory, in KiB."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK"), int(fields[21]) * os.sysconf("SC_PAGE_SIZE") // 1024


@pytest.fixture(autouse=True)
def is_long(request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("long"):
        pytest.skip("measured with --long alone, on a machine that does nothing else")


@pytest.mark.parametrize("kind", PLAYERS)
def test_a_thousand_events_a_second_take_a_tenth_of_a_core_and_no_memory(
    tmp_path: Path, kind: str
) -> None:
    env, root, told = {**install(tmp_path / "bin")}, tmp_path / "project", tmp_path / "told"
    make_project(root)
    (root / "tasks/T1.md").write_text(f"{TASK}failed: so that the first turn is right\n")
    script = WRITE.format(seconds=30, rate=RATE, event=EVENTS[kind])
    (tmp_path / "bin/script.py").write_text(script)
    marks = list[tuple[float, float, int]]()
    command = autobuild(root, kind, "--max-turns", "1")
    with subprocess.Popen(
        command, env=env | {"TOLD": str(told)}, stdout=subprocess.DEVNULL
    ) as process:
        while not told.exists():
            time.sleep(0.1)
        while told.read_text() != "over":
            marks.append((time.monotonic(), *used(process.pid)))
            time.sleep(1)
    (begun, before, _), (ended, after, most) = marks[0], marks[-1]
    share, growth = (after - before) / (ended - begun), most - marks[len(marks) // 3][2]
    print(f"{kind}: {share:.1%} of a core, {growth} KiB more")
    assert process.returncode == 0
    assert share < SHARE
    assert growth < GROWTH


@pytest.mark.parametrize("kind", PLAYERS)
def test_the_events_of_an_hour_take_no_memory(tmp_path: Path, kind: str) -> None:
    env, root, told = {**install(tmp_path / "bin")}, tmp_path / "project", tmp_path / "told"
    make_project(root)
    (root / "tasks/T1.md").write_text(f"{TASK}failed: so that the first turn is right\n")
    script = WRITE_ALL.format(number=RATE * AN_HOUR, event=EVENTS[kind])
    (tmp_path / "bin/script.py").write_text(script)
    sizes = dict[int, int]()  # KiB, by how many tenths of the events were written
    command = autobuild(root, kind, "--max-turns", "1")
    with subprocess.Popen(
        command, env=env | {"TOLD": str(told)}, stdout=subprocess.DEVNULL
    ) as process:
        while not told.exists():
            time.sleep(0.1)
        while (now := told.read_text()) != "over":
            sizes.setdefault(10 * int(now or 0) // (RATE * AN_HOUR), used(process.pid)[1])
            time.sleep(0.1)
    print(f"{kind}: {[*sizes.values()]} KiB")
    assert process.returncode == 0
    assert (max(sizes.values()) - sizes[5]) * 1024 < BYTES * RATE * AN_HOUR / 2


@pytest.mark.parametrize("kind", PLAYERS)
def test_a_reader_at_100_ms_sees_nine_of_ten_tools_that_take_half_a_second(
    tmp_path: Path, kind: str
) -> None:
    env, root = install(tmp_path / "bin"), make_project(tmp_path / "project")
    (root / "tasks/T1.md").write_text(f"{TASK}failed: so that the first turn is right\n")
    script = f"for n in range({TOOLS}):\n    tell(f'tool-{{n}}.')\n    time.sleep(0.5)"
    (tmp_path / "bin/script.py").write_text(script)
    seen = set[str]()
    command = autobuild(root, kind, "--max-turns", "1")
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        while process.poll() is None:
            seen.add(read_progress("T1", root=root).message or "")
            time.sleep(0.1)
    tools = {n for n in range(TOOLS) if any(f"tool-{n}." in message for message in seen)}
    print(f"{kind}: {len(tools)} of {TOOLS} seen")
    assert len(tools) >= TOOLS * 0.9
