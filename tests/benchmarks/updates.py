"""`update()`, which a build may call a million times."""

import logging
import os
from contextlib import ExitStack
from pathlib import Path

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
                contestants = {OURS: _ours(build), **_bars(run, stack), **_log(run, stack)}
                return compare(UPDATE, await race(contestants, run.pick(100, 600)))


def _ours(build: Build) -> Round:
    def loop(times: int) -> None:
        for number in range(times):
            build.update(files_created=number)

    return timed(loop, TIMES)


def _bars(run: Run, stack: ExitStack) -> dict[str, Round]:
    """Return the progress bars that are installed, each as people call it, drawn into nothing."""
    nothing = stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
    bars: dict[str, Round] = {}
    if tqdm := run.peer("tqdm"):
        bar = stack.enter_context(tqdm.tqdm(total=10**9, file=nothing))

        def update(times: int) -> None:
            for _ in range(times):
                bar.update(1)

        bars[TQDM] = timed(update, TIMES)
    if rich := run.peer("rich.progress"):
        console = run.peer("rich.console").Console(file=nothing)
        progress = stack.enter_context(rich.Progress(console=console))
        task = progress.add_task("Player Implementation", total=10**9)

        def advance(times: int) -> None:
            for _ in range(times):
                progress.update(task, advance=1)

        bars[RICH] = timed(advance, TIMES // 10)
    return bars


def _log(run: Run, stack: ExitStack) -> dict[str, Round]:
    handler = logging.FileHandler(run.tmpfs / "log")
    stack.callback(handler.close)
    logger = logging.Logger("build", logging.INFO)
    logger.addHandler(handler)

    def log(times: int) -> None:
        for number in range(times):
            logger.info("files_created=%d", number)

    return {"logging.info to a file": timed(log, TIMES // 10)}
