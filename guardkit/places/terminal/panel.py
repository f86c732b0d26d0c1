"""One build that runs, drawn in a few lines below those that tell what has happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.text import Text

from guardkit.places.answers import spent_in_phase
from guardkit.places.cells import cell_len, cut
from guardkit.places.colours import STATES as COLOURS
from guardkit.places.plain import clean, printable
from guardkit.places.terminal.marks import Marks
from guardkit.places.terminal.seen import Seen, Size, said, silent
from guardkit.places.terminal.short import (
    bar,
    has_failing_tests,
    short_cost,
    short_files,
    short_phase,
    short_tests,
    short_turn,
    stopwatch,
)
from guardkit.places.words import tasks
from guardkit.progress.snapshot import Snapshot

GAP = 2  # cells between two parts of a line
WIDE, HIGH = 60, 14  # cells and lines in which there is room for the answers
UNSAID = "does now"  # of the answers, as the first two lines say it


def draw_one(seen: Seen, found: Mapping[str, str], size: Size, frame: int, marks: Marks) -> Text:
    """Return a few lines on a build that runs: where it is, what it says, what it has made.

    found: what is known of the four questions, see `answers`.
    frame: the how manieth drawing it is, by which what spins spins.
    """
    snapshot, (state, _) = seen.snapshot, seen.verdict
    what, style = said(seen)
    if state != "running":
        what, style = f"{state}: {what}", COLOURS[state]
    lines = [Text(f"  {printable(what)}", style)] if what else []
    if snapshot:
        is_well = state == "running" and not silent(seen)
        spin = marks.spinner[frame % len(marks.spinner)] if is_well else "!"
        lines = [_head(seen, snapshot, spin, size.width, marks), *lines, *_made(snapshot)]
    if size.width >= WIDE and size.height >= HIGH:
        lines += _answers(found)
    shown = [Text(), *lines][: max(2, size.height - 1)]
    for line in shown:
        if line.cell_len > size.width:
            line.truncate(cell_len(cut(line.plain, size.width)) - 1)
            line.append(marks.more)
    return Text("\n", no_wrap=True).join(shown)


def _head(seen: Seen, snapshot: Snapshot, spin: str, width: int, marks: Marks) -> Text:
    """Return the first line, with as much as has room, and always the time."""
    elapsed, short, spent = stopwatch(seen.elapsed), short_turn(snapshot), _spent(seen, snapshot)
    turn = f"turn {snapshot.turn:,} of {snapshot.turn_max:,}" if snapshot.turn else ""
    wave = f"wave {snapshot.wave:,} of {snapshot.wave_total:,}" if snapshot.wave_total > 1 else ""
    task, phase = clean(snapshot.task_id), short_phase(snapshot) or "starting"
    drawn = bar(snapshot, marks) if short else ""
    room = width - len(spin) - 1 - GAP - len(elapsed)
    text = _longest(
        room,
        (task, wave, turn, drawn, phase, spent),
        (task, turn, drawn, phase, spent),
        (turn, drawn, phase, spent),
        (turn, phase, spent),
        (short, phase, spent),
        (short, phase),
    )
    text = cut(text, room, marks.more)
    line = Text.assemble((spin, "red" if spin == "!" else "cyan"), " ", printable(text))
    line.append(" " * (room + GAP - cell_len(text))).append(elapsed, "bold")
    return line


def _longest(room: int, *choices: Sequence[str]) -> str:
    """Return the first of some choices of parts that has room, or else the last."""
    texts = ["  ".join(filter(None, parts)) for parts in choices]
    return next((each for each in texts if cell_len(each) <= room), texts[-1])


def _spent(seen: Seen, snapshot: Snapshot) -> str:
    """Return for how long the phase has been shown, of how much that it may take."""
    spent, budget = spent_in_phase(snapshot, seen.since), snapshot.tracker.budget_seconds
    if spent is None or snapshot.phase_status != "in_progress":
        return ""
    return f"{stopwatch(spent)}" + ("" if budget is None else f" of {stopwatch(budget)}")


def _made(snapshot: Snapshot) -> list[Text]:
    """Return the line on what was counted, none where nothing was."""
    tests = short_tests(snapshot)
    parts = (
        (f"{tests} tests" if tests else "", "red" if has_failing_tests(snapshot) else ""),
        (short_files(snapshot), ""),
        (short_cost(snapshot), ""),
        (", ".join(tasks(snapshot)), ""),
    )
    shown = [("  " + text, style) for text, style in parts if text]
    return [Text.assemble(*shown)] if shown else []


def _answers(found: Mapping[str, str]) -> list[Text]:
    shown = {asked: answer for asked, answer in found.items() if asked != UNSAID}
    width = max(map(len, shown), default=0)
    return [
        Text.assemble((f"  {asked:<{width}}  ", "dim"), printable(answer))
        for asked, answer in shown.items()
    ]
