"""`update()`, which a build may call a million times."""

import logging
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from guardkit import Build, track_build

from .bounds import RICH, TQDM, UPDATE
from .races import OURS, Round, Row, compare, race, timed
from .setting import Run, pin

TIMES = 1_000


async def measure(run: Run) -> list[Row]:
    """Hold `update()` against the calls that one would make instead."""
    pin()
    async with track_build("TASK-1", root=run.tmpfs) as build, build.turn() as turn:
        async with turn.phase("Player Implementation"):
            with ExitStack() as stack:
                contestants = {OURS: _ours(build), **_bars(run, stack), **_records(run, stack)}
                return compare(UPDATE, await race(contestants, run.pick(100, 600)))


def _ours(build: Build) -> Round:
    def loop(times: int) -> None:
        for number in range(times):
            build.update(files_created=number)

    return timed(loop, TIMES)


def _bars(run: Run, stack: ExitStack) -> dict[str, Round]:
    """Return the progress bars that are installed, each drawn into nothing."""
    nothing = stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
    bars: dict[str, Round] = {}
    if tqdm := run.peer("tqdm"):
        # A bar looks at the clock in each update, until it has learnt that updates come faster
        # than it draws by so much that it need not. Of the two, builds see the former.
        looks = stack.enter_context(tqdm.tqdm(total=10**9, file=nothing, miniters=1))
        skips = stack.enter_context(tqdm.tqdm(total=10**9, file=nothing, miniters=10**9))
        bars[TQDM] = timed(lambda times: _update(looks, times), TIMES)
        bars[f"{TQDM}, at full speed"] = timed(lambda times: _update(skips, times), TIMES)
    if rich := run.peer("rich.progress"):
        console = run.peer("rich.console").Console(file=nothing)
        progress = stack.enter_context(rich.Progress(console=console))
        task = progress.add_task("Player Implementation", total=10**9)

        def advance(times: int) -> None:
            for _ in range(times):
                progress.update(task, advance=1)

        bars[RICH] = timed(advance, TIMES // 10)
    if alive := run.peer("alive_progress"):
        call = stack.enter_context(alive.alive_bar(10**9, file=nothing, force_tty=True))

        def tick(times: int) -> None:
            for _ in range(times):
                call()

        bars["alive_progress bar()"] = timed(tick, TIMES // 10)
    if enlighten := run.peer("enlighten"):
        manager = enlighten.Manager(stream=nothing, enabled=True, set_scroll=False)
        counter = stack.enter_context(manager.counter(total=10**9))
        bars["enlighten update()"] = timed(lambda times: _update(counter, times), TIMES // 10)
    return bars


def _update(bar: Any, times: int) -> None:
    for _ in range(times):
        bar.update(1)


def _records(run: Run, stack: ExitStack) -> dict[str, Round]:
    """Return what leaves a record of each update: a log file, and events of a span."""
    handler = logging.FileHandler(run.tmpfs / "log")
    stack.callback(handler.close)
    logger = logging.Logger("build", logging.INFO)
    logger.addHandler(handler)

    def log(times: int) -> None:
        for number in range(times):
            logger.info("files_created=%d", number)

    records = {"logging.info to a file": timed(log, TIMES // 10)}
    if sdk := run.peer("opentelemetry.sdk.trace"):
        span = stack.enter_context(sdk.TracerProvider().get_tracer("build").start_span("phase"))

        def add_event(times: int) -> None:
            for number in range(times):
                span.add_event("update", {"files_created": number})

        records["OpenTelemetry event"] = timed(add_event, TIMES // 10)
    return records
