"""What is told of a feature before it and after it: what is planned, approved and left."""

from collections import Counter
from collections.abc import Collection
from shlex import quote

from guardkit.cli.told import near
from guardkit.orchestrator.features.course import FeatureResult
from guardkit.orchestrator.features.feature import FeatureOrchestrator, FeaturePlan
from guardkit.orchestrator.features.file import FeatureTask
from guardkit.orchestrator.features.results import WELL, WORDS
from guardkit.orchestrator.phrases import many, some

Row = tuple[str, ...]
HEADINGS: Row = ("Wave", "Task", "Depends on", "Status", "What would run")
DOES = {
    "new": "a new build",
    "again": "a new build; the failed one is moved aside",
    "completed": "nothing: it is completed",
    "failed": "nothing: it has failed; --retry-failed builds it again",
    "left over": "nothing",
}


def planned(orchestrator: FeatureOrchestrator, plan: FeaturePlan) -> list[str]:
    """Return the lines that tell what a build would do: its waves, as a table."""
    feature, place, builder = plan.feature, plan.place, orchestrator.builder
    rows = [HEADINGS]
    lacks = {
        each: WORDS["failed"]
        for each, standing in plan.standings.items()
        if standing.kind == "failed" and each not in plan.passed_over
    }
    for number, tasks in enumerate(plan.waves, 1):
        for task in tasks:
            does = _does(task, plan, lacks, wait=orchestrator.wait)
            needs = ", ".join(task.dependencies) or "-"
            rows.append((str(number), task.id, needs, task.status or "-", does))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    lines = [
        f"Feature: {feature.id}, {feature.name}",
        *table,
        f"Side by side: {many(orchestrator.max_parallel, 'task')} at most",
        f"Worktree: {near(place.path, place.root)}, branch {place.branch} from {place.base[:12]}",
        f"Player: {builder.player}",
        f"  in {many(builder.max_turns, 'turn')} at most for each task",
        *([f"Coach: {builder.coach}, on top of the tests"] if builder.coach else []),
        f"Tests: {builder.test}",
    ]
    if plan.dirty:
        what = f"{many(len(plan.dirty), 'uncommitted change')}, {some(plan.dirty)}"
        lines.append(f"In no worktree: {what}")
    return [*lines, "Nothing speaks against it. Nothing was written."]


def _does(task: FeatureTask, plan: FeaturePlan, lacks: dict[str, str], *, wait: bool) -> str:
    """Return what would be done with a task.

    lacks: what is with tasks that others lack, by their ids; where this one cannot start, it is
        put to them. wait: whether who builds a task is waited for.
    """
    standing = plan.standings[task.id]
    if task.id in plan.passed_over:
        return "nothing: it is before --from-wave"
    if standing.runs and (before := next(filter(lacks.__contains__, task.dependencies), None)):
        lacks[task.id] = WORDS["not started"]
        return f"nothing: {before} {lacks[before]}"
    if standing.runs and standing.facts.is_taken:
        if wait:
            return "it is being built: what that comes to"
        lacks[task.id] = WORDS["refused"]
        return "nothing: it is being built; --wait waits for it"
    if standing.kind == "interrupted":
        turn = standing.facts.last.turn if standing.facts.last else 0
        return f"its build goes on, in turn {turn}" if turn else "its build goes on"
    return DOES[standing.kind]


def outcome(result: FeatureResult) -> list[str]:
    """Return the lines that tell what a feature has come to, and what to do with it."""
    numbers = Counter(each.ending for each in result.results)
    lines = [f"Tasks: {', '.join(f'{number} {ending}' for ending, number in numbers.items())}"]
    bad = (each for each in result.results if each.ending not in WELL)
    lines += [f"{each.task_id} {WORDS[each.ending]}: {each.why}" for each in bad]
    lines += [f"{each} is left out: {why}" for each, why in result.left_out.items()]
    if not result.proof:
        lines.append("Nothing was approved that is not in the checkout already")
        return [*lines, *_go_on(numbers)]
    lines.append(f"Tests of all of it: {result.proof.rationale}, by coach_turn_1.json")
    root, branch, git = result.place.root, result.place.branch, "git -C "
    git += quote(str(root))
    return [
        *lines,
        f"Worktree: {result.place.path}, branch {branch}",
        f"Review: {git} diff {result.place.base[:12]} {branch}",
        f"Merge: {git} merge {branch}",
        *(f"Left out, by hand: {git} merge autobuild/{each}" for each in result.left_out),
        *_go_on(numbers),
    ]


def _go_on(endings: Collection[str]) -> list[str]:
    """Return the line that tells how to build what is not completed, by how the tasks ended."""
    if WELL.issuperset(endings):
        return []
    has_failed = "failed" in endings
    retry = ", which with --retry-failed builds again what has failed" if has_failed else ""
    return [f"Go on: the same command with --resume{retry}"]
