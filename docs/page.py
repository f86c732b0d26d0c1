"""Makes the README's pictures of the page, docs/page-*.png, from builds that run while it looks.

Run: python docs/page.py
It takes Chromium, and of PyPI playwright and pillow.
"""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path

from guardkit import Build, Turn, track_build
from guardkit.clock import SystemClock

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
PLAYER, COACH = "Player Implementation", "Coach Validation"
WHY = "failed: test_refunds.test_twice: 2 != 1"
SIZES = {"light": (1120, 860), "dark": (1120, 860), "phone": (390, 844)}


class Ago(SystemClock):
    """A clock that is behind, and catches up in leaps: what it tells took minutes took none."""

    def __init__(self, seconds: float) -> None:
        self.behind = seconds

    def now(self) -> datetime:
        """Return the time that it shows."""
        return super().now() - timedelta(seconds=self.behind)

    def monotonic(self) -> float:
        """Return the seconds that it shows."""
        return super().monotonic() - self.behind

    async def leap(self, seconds: float) -> None:
        """Let so many seconds have passed, as far as there are any."""
        self.behind -= min(seconds, self.behind)
        await asyncio.sleep(0.15)


async def play(turn: Turn, clock: Ago, *, made: int, took: float, says: str) -> None:
    """Have the Player work."""
    async with turn.phase(PLAYER, budget=3600) as phase:
        phase.update(files_created=made, message=says)
        await clock.leap(took)
        phase.update(files_modified=made + 1, message=says)


async def check(turn: Turn, clock: Ago, *, passed: int, took: float, why: str = "") -> None:
    """Have the Coach test it, and decide."""
    async with turn.phase(COACH, budget=600) as phase:
        phase.update(message="running the tests", tests_passed=0, tests_total=0)
        await clock.leap(took)
        phase.update(tests_passed=passed, tests_total=9)
    turn.decide("feedback" if why else "approve", why or "9 tests passing")


async def whole(build: Build, clock: Ago, took: float, says: str) -> None:
    """Take one good turn."""
    async with build.turn() as turn:
        await play(turn, clock, made=2, took=took, says=says)
        await check(turn, clock, passed=9, took=took / 5)
        build.spent(tokens=64_200, cost_usd=1.93)
    build.decide("approved", "9 tests passing")
    await clock.leap(1e9)


async def second_turn(build: Build, clock: Ago) -> None:
    """Be in the second turn, in which the tests run."""
    async with build.phase("Setup"):
        await clock.leap(4)
    async with build.turn() as turn:
        await play(turn, clock, made=3, took=522, says="Edit src/refunds.py")
        await check(turn, clock, passed=6, took=74, why=WHY)
        build.spent(tokens=58_300, cost_usd=1.71)
    async with build.turn() as turn:
        await play(turn, clock, made=4, took=391, says="Edit tests/test_refunds.py")
        build.spent(tokens=96_800, cost_usd=2.84)
        async with turn.phase(COACH, budget=600) as phase:
            phase.update(
                message="Bash: pytest -q tests/test_refunds.py", tests_passed=8, tests_total=9
            )
            await clock.leap(1e9)
            await asyncio.sleep(600)


async def first_turn(build: Build, clock: Ago, says: str, *, budget: float = 3600) -> None:
    """Be in the first turn, in which the Player works."""
    async with build.turn() as turn, turn.phase(PLAYER, budget=budget) as phase:
        await clock.leap(60)
        phase.update(files_created=2, files_modified=3, message=says)
        build.spent(tokens=31_000, cost_usd=0.88)
        if build.snapshot.build_type == "task":
            await clock.leap(1e9)
        await asyncio.sleep(600)


async def feature(root: str) -> None:
    """Build a feature of three waves, and be in the second."""
    clock = Ago(2200)
    it = track_build(
        "FEAT-PAY",
        task_name="Refunds",
        build_type="feature",
        wave_total=3,
        task_total=5,
        root=root,
        clock=clock,
    )
    async with it:
        async with it.wave(1) as wave:
            for task, name in (("TASK-PAY-001", "Model refunds"), ("TASK-PAY-002", "Store them")):
                async with wave.task(task, task_name=name) as build, build.turn() as turn:
                    await play(turn, clock, made=2, took=420, says="Edit src/models.py")
                    await check(turn, clock, passed=9, took=40)
        async with it.wave(2) as wave:
            first = wave.task("TASK-PAY-003", task_name="Refund from the order page")
            second = wave.task("TASK-PAY-004", task_name="Mail the customer")
            async with first as one, second as two:
                write_paper(root, "TASK-PAY-003")
                says = "Write src/mails/refund.txt"
                await asyncio.gather(second_turn(one, clock), first_turn(two, clock, says))


async def alone(root: str, task: str, name: str, behind: float, how: str) -> None:
    """Build a task that is part of nothing."""
    clock = Ago(behind)
    async with track_build(task, task_name=name, root=root, clock=clock) as build:
        if how == "approved":
            await whole(build, clock, behind / 2, "Edit README.md")
        elif how == "failed":
            async with build.turn(5) as turn:
                await play(turn, clock, made=1, took=behind / 2, says="Edit src/search.py")
                await check(turn, clock, passed=7, took=60, why="failed: test_search - timed out")
            await clock.leap(1e9)
            build.fail("not approved in 5 turns: failed: test_search - timed out")
        else:
            await first_turn(build, clock, how, budget=900)


async def build_all(root: str, which: str) -> None:
    """Run the builds of a project."""
    shop, site = f"{root}/shop", f"{root}/site"
    if which == "dies":
        await alone(shop, "TASK-FB-002", "Print plain lines without a terminal", 245, "Edit cli.py")
    await asyncio.gather(
        feature(shop),
        alone(shop, "TASK-CI-3", "Cache wheels in CI", 700, "approved"),
        alone(shop, "TASK-SRCH-1", "Search by word parts", 3000, "failed"),
        alone(site, "TASK-DOC-7", "Rewrite the install page", 310, "Bash: make html"),
        alone(site, "TASK-IMG-2", "Shrink the pictures", 1100, "WebFetch: optipng options"),
    )


def write_paper(root: str, task: str) -> None:
    """Leave what the Coach of AutoBuild leaves of a turn."""
    found = {
        "changes": {"src/refunds.py": "A", "src/orders.py": "M", "tests/test_refunds.py": "A"},
        "player": {"tail": "The order page has a button now, and its tests are written."},
        "tests": {"tail": "FAILED tests/test_refunds.py::test_twice\n3 failed, 6 passed in 4.1s"},
    }
    issues = [
        f"failed: test_refunds.{name}"
        for name in ("test_twice: 2 != 1", "test_partly", "test_late")
    ]
    paper = {"decision": "feedback", "issues": issues, "validation_results": found}
    Path(root, ".guardkit/autobuild", task, "coach_turn_1.json").write_text(json.dumps(paper))


def main() -> None:
    """Run builds and the page, and write the pictures next to this file."""
    from PIL import Image
    from playwright.sync_api import sync_playwright

    root = str(Path(tempfile.gettempdir(), "projects"))
    with ExitStack() as stack:
        Path(root).mkdir()
        stack.callback(shutil.rmtree, root)
        for name in ("shop", "site"):
            Path(root, name).mkdir()
        start = (sys.executable, __file__, root)
        dies = stack.enter_context(subprocess.Popen((*start, "dies")))
        lives = stack.enter_context(subprocess.Popen((*start, "lives")))
        words = ("serve", f"{root}/shop", f"{root}/site", "--port", "0")
        command = (sys.executable, "-m", "guardkit.cli.main", *words)
        page = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        stack.enter_context(page)
        stack.callback(page.kill)
        stack.callback(lives.kill)
        url = page.stdout.readline().strip() if page.stdout else ""
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            tab = browser.new_page()
            tab.goto(url)
            tab.get_by_text("2 running").first.wait_for()
            tab.wait_for_timeout(4000)
            os.kill(dies.pid, signal.SIGKILL)
            tab.locator(".crashed").first.wait_for()
            for name, (width, height) in SIZES.items():
                look = browser.new_page(
                    viewport={"width": width, "height": height},
                    color_scheme="dark" if name == "dark" else "light",
                    device_scale_factor=2 if name == "phone" else 1,
                )
                path = "builds/shop/TASK-PAY-003" if name == "dark" else ""
                look.goto(url + path)
                look.get_by_text("live", exact=True).wait_for()
                shot = Path(__file__).with_name(f"page-{name}.png")
                Image.open(BytesIO(look.screenshot())).quantize(128).save(shot, optimize=True)
            browser.close()


if __name__ == "__main__":
    if sys.argv[1:]:
        asyncio.run(build_all(*sys.argv[1:]))
    else:
        main()
