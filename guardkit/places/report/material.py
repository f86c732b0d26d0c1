"""What a report is made of: one run, its feature's tasks, and other runs to compare it with."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Literal

import msgspec

from guardkit.errors import GuardKitError, ProgressNotFoundError
from guardkit.places.expected import SETTLED, Expected, expect, learn
from guardkit.places.journals import NEAR_MAX, near, read_journals
from guardkit.places.report.compare import Compared, compare
from guardkit.places.runs import Run, runs
from guardkit.places.timeline.model import Timeline
from guardkit.places.timeline.seeing import Seeing, tasks_of
from guardkit.progress.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from guardkit.monitor.look import Look, Source

Scope = Literal["", "task", "all"]
JOURNALS_MAX = 500  # that are read to compare with


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What is told of one run.

    snapshot: the newest document of the run.
    compared: with other runs, empty where there are none. scope: with which ones, or with none.
    expected: how much longer it may take, or None.
    """

    snapshot: Snapshot
    timeline: Timeline
    scope: Scope = ""
    compared: Sequence[Compared] = ()
    expected: Expected | None = None


async def make_report(
    builds: Source, task_id: str, *, run_id: str | None = None, scope: Scope = ""
) -> Report:
    """Return the report on the latest run of a task, or on the one that is named.

    builds: where it is looked for. scope: whether it is compared with the earlier runs of the task,
        or with those of all tasks.
    Raises ProgressNotFoundError where no journal has the run, and as `Source.look` does.
    """
    events = await builds.events(task_id)
    own = runs(events)
    index, run = _pick(own, task_id, run_id)
    looks = await _looks(builds, task_id, run, scope)
    wanted = _wanted(looks, run, scope)
    journals = await read_journals(builds, wanted)
    known = [each for journal in journals.values() for each in runs(journal)]
    seen = Seeing(builds.clock.monotonic(), looks, [*own, *known])
    timeline, mine = seen.timeline(run), seen.seen(run)
    others = [*own[:index], *(known if scope == "all" else ())]
    alike = [each for each in others if _is_alike(each, run)] if scope else []
    expected = None
    if mine.newest and mine.goes_on:
        others = await _near(builds, task_id, journals)
        journals |= await read_journals(builds, others, NEAR_MAX)
        expected = expect(mine.newest, events, learn(journals.values()), mine.since)
    return Report(
        snapshot=mine.newest or run.last,
        timeline=timeline,
        scope=scope,
        compared=compare(timeline, map(seen.timeline, alike)),
        expected=expected,
    )


def _pick(own: Sequence[Run], task_id: str, run_id: str | None) -> tuple[int, Run]:
    """Return the run that is meant, and the how manieth it is; raises ProgressNotFoundError."""
    for index, run in reversed([*enumerate(own)]):
        if run_id in {None, run.run_id}:
            return index, run
    what = f"run {run_id}" if run_id else "build"
    raise ProgressNotFoundError(f"no {what} of {task_id} is in a journal")


async def _looks(builds: Source, task_id: str, run: Run, scope: Scope) -> list[Look]:
    return await builds.look([] if run.is_feature or scope == "all" else [task_id])


def _wanted(looks: Iterable[Look], run: Run, scope: Scope) -> list[str]:
    """Return the tasks whose journals are needed besides that of the run."""
    own, seen = run.last, [look for look in looks if look.task_id != run.last.task_id]
    if scope == "all":
        return near(own.task_id, (look.task_id for look in seen), JOURNALS_MAX)
    return tasks_of(run, seen)


async def _near(builds: Source, task_id: str, known: Iterable[str]) -> list[str]:
    """Return some other tasks whose journals are not known yet; none where all cannot be seen."""
    names: list[str] = []
    with suppress(GuardKitError):
        names = near(task_id, (look.task_id for look in await builds.look()))
    return [*{*names}.difference(known)]


def _is_alike(other: Run, run: Run) -> bool:
    """Return whether a run can be compared: a whole one of the same kind that has ended itself."""
    is_settled = other.is_whole and other.outcome in SETTLED
    return is_settled and other.is_feature == run.is_feature and other.run_id != run.run_id
