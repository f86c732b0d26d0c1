"""What is told of a build where there is little room: figures instead of words."""

from __future__ import annotations

from guardkit.places.plain import clean
from guardkit.places.words import cost

TYPE_CHECKING = False
if TYPE_CHECKING:
    from guardkit.places.terminal.marks import Marks
    from guardkit.progress.snapshot import Snapshot

BAR = 5  # cells


def stopwatch(seconds: float) -> str:
    """Return whole seconds as `0:18`, `4:05` or `1:04:05`; never below zero."""
    minutes, rest = divmod(max(int(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def short_tests(snapshot: Snapshot) -> str:
    """Return how the latest tests went, such as `8/9`, "" where there were none."""
    passed = snapshot.metrics.tests_passed
    total = max(passed, snapshot.metrics.tests_total)
    return f"{passed:,}/{total:,}" if total else ""


def short_files(snapshot: Snapshot) -> str:
    """Return how many files were created and modified, such as `+3 ~1`."""
    parts = ("+", snapshot.metrics.files_created), ("~", snapshot.metrics.files_modified)
    return " ".join(f"{sign}{number:,}" for sign, number in parts if number)


def short_cost(snapshot: Snapshot) -> str:
    """Return what the agents have cost, such as `$3.40`, "" where nothing is known."""
    return "".join(cost(snapshot))


def short_turn(snapshot: Snapshot) -> str:
    """Return the turn of a task, such as `2/5`, and how far a feature is, by its tasks."""
    if snapshot.tasks:
        return f"{snapshot.tasks.completed:,}/{snapshot.tasks.total:,}"
    return f"{snapshot.turn:,}/{snapshot.turn_max:,}" if snapshot.turn else ""


def short_phase(snapshot: Snapshot) -> str:
    """Return the phase; of a feature whose tasks run what its `short_turn` counts."""
    phase, is_open = clean(snapshot.phase), snapshot.phase_status == "in_progress"
    is_feature = snapshot.tasks and snapshot.tasks.total
    return "tasks" if is_feature and not (phase and is_open) else phase


def bar(snapshot: Snapshot, marks: Marks) -> str:
    """Return what `short_turn` says as a bar of five cells; the turn that runs counts."""
    done, total = snapshot.turn, snapshot.turn_max
    if snapshot.tasks:
        done, total = snapshot.tasks.completed, snapshot.tasks.total
    full = min(BAR, -(-done * BAR // max(total, 1)))
    return marks.full * full + marks.empty * (BAR - full)


def has_failing_tests(snapshot: Snapshot) -> bool:
    """Return whether the latest tests have run and did not all pass."""
    return snapshot.metrics.tests_passed < snapshot.metrics.tests_total
