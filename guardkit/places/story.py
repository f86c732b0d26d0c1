"""Builds as they are told: a line for each thing that is new, and a summary at the end."""

from __future__ import annotations

from guardkit.places.words import clean, counts, local, one_line, tasks, used
from guardkit.progress.snapshot import is_newer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from guardkit.progress.snapshot import Snapshot

MARKS = {"completed": "OK", "failed": "FAIL", "cancelled": "CANCELLED"}


class Story:
    """What has been told of a task, so that of its next snapshot only what is new is told.

    last: the newest snapshot, None before the first.
    label: whether the task id is put into the lines, as there are several builds.
    """

    def __init__(self, *, label: bool = False) -> None:
        self.last: Snapshot | None = None
        self.label = label
        self._since: Snapshot | None = (
            None  # the one before the phase began, or the latest decision
        )
        self._begun = 0  # phases of the run that have been told
        self._outcomes: list[str] = []  # the summary's line for each phase that has ended

    def tell(self, now: Snapshot) -> list[str]:
        """Return the lines that are new with `now`, in the order of what happened.

        The first snapshot of a run gives its one-line form; then there is a line for each phase
        that begins, message, phase that ends and decision; none for a snapshot older than the
        last. The one that ends the run gives the summary, too.
        """
        before = self.last
        if before and before.tracker.run_id != now.tracker.run_id:
            before = None
        if before and is_newer(before, now):
            return []
        self.last = now
        label = f"{clean(now.task_id)} " if self.label else ""
        if before is None:
            self._since, self._begun, self._outcomes = now, now.tracker.phase_number, []
            text = one_line(now)
        elif text := self._news(before, now):
            turn = f"Turn {now.turn}/{now.turn_max}: " if now.turn else ""
            text = label + turn + text
        lines = [f"[{local(now.updated_at, '%H:%M:%S')}] {text}"] if text else []
        if now.terminal and not (before and before.terminal):
            lines += ["", f"== AutoBuild Summary {label}==", *self._outcomes, *_ending(now)]
        return lines

    def _news(self, before: Snapshot, now: Snapshot) -> str:
        """Return what is new, or `""`."""
        since = self._since or before
        if now.tasks and now.wave > before.wave:
            return f"Wave {now.wave}/{now.wave_total} starting..."
        said = clean(now.message) if now.message != since.message else ""
        if now.phase_status == "in_progress":
            if self._begins(before, now):
                self._since, self._begun = before, now.tracker.phase_number
                return f"{clean(now.phase)} starting..."
            return said if now.message != before.message else ""
        if now.phase_status in MARKS and _phase(now) != _phase(before):
            mark, known = MARKS[now.phase_status], counts(since)
            made = ", ".join(each for each in counts(now) if each not in known)
            how = (now.phase_status == "failed" and clean(now.error)) or made or said
            title = (f"Turn {now.turn}: " if now.turn else "") + clean(now.phase)
            self._outcomes.append(" - ".join(filter(None, (title, mark, how))))
            return f"[{mark}] {how or clean(now.phase)}"
        if now.decision != before.decision or now.message != before.message:
            self._since = now
            return ": ".join(filter(None, (clean(now.decision), said)))
        return ""

    def _begins(self, before: Snapshot, now: Snapshot) -> bool:
        """Return whether a phase begins; an outer one that is shown again does not.

        Files of other programs do not number their phases.
        """
        number = now.tracker.phase_number
        return number > self._begun if number else _phase(now) != _phase(before)


def _phase(snapshot: Snapshot) -> tuple[object, ...]:
    number = snapshot.tracker.phase_number
    wave = 0 if number else snapshot.wave  # files of other programs do not number their phases
    return wave, snapshot.turn, number, snapshot.phase, snapshot.phase_status


def _ending(now: Snapshot) -> list[str]:
    """Return the lines of the summary that tell how a build has ended, and what it took."""
    word = now.decision if now.status == "completed" and now.decision else now.status
    status = " - ".join(filter(None, (f"Status: {clean(word).upper()}", clean(now.error))))
    cost = f"Used: {', '.join(used(now))}" if used(now) else ""
    return [*filter(None, (", ".join(tasks(now)), cost)), status]
