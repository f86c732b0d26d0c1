"""What GitHub Actions is told of a build that has ended: annotations, and the step's summary."""

import os
import re
from contextlib import suppress

from guardkit.cli.streams import complain
from guardkit.cli.told import proof
from guardkit.cli.told_of_features import outcome
from guardkit.errors import GuardKitError
from guardkit.orchestrator.features.course import FeatureResult
from guardkit.orchestrator.findings import CoachTurn
from guardkit.orchestrator.loop import BuildResult
from guardkit.orchestrator.proof.locations import Location, locate
from guardkit.places.github import command
from guardkit.places.plain import clean, clip
from guardkit.places.words import duration, used
from guardkit.progress.reader import read_progress
from guardkit.progress.snapshot import Snapshot

ANNOTATIONS_MAX = 10  # of a kind, that GitHub shows of a step
FAILURES_MAX, TURNS_MAX = 50, 50  # in the summary
CELL_MAX = 1000  # characters
SUMMARY_MAX = 2**16  # bytes, of the 1 MiB that a step has
PUNCTUATION = re.compile(r"[!-/:-@\[-`{-~]")  # of ASCII, all of which Markdown takes as it is by \


def annotations(result: BuildResult | FeatureResult) -> list[str]:
    """Return the commands that annotate what a build has failed of."""
    if result.status == "completed":
        return []
    if isinstance(result, BuildResult):
        return _annotate_tests(result)
    title = f"{result.place.path.name} failed"
    return [command("error", clean(each), title=title) for each in result.why[:ANNOTATIONS_MAX]]


def _annotate_tests(result: BuildResult) -> list[str]:
    """Return the commands that annotate the tests that have failed, or else the build itself."""
    title, report = f"{result.turns[-1].task_id} failed", result.turns[-1].validation_results.report
    if not report or not report.failures:
        return [command("error", clean(result.summary), title=title)]
    failed = list(zip(report.failures, report.places, strict=False))[:ANNOTATIONS_MAX]
    lines = list[str]()
    for failure, place in failed:
        path, line = _in_workspace(result, locate(failure, place, result.worktree))
        lines.append(command("error", clean(failure), file=path, line=line or "", title=title))
    return lines


def summarize(result: BuildResult | FeatureResult) -> None:
    """Add what a build came to to the summary of the step, if there is one; say so if it cannot."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        return
    lines = _summary(result) if isinstance(result, BuildResult) else _summary_of_feature(result)
    text = "\n".join(["", *lines, ""]).encode(errors="replace")
    try:
        with open(path, "ab") as file:  # noqa: PTH123 - of the runner
            file.write(text[:SUMMARY_MAX].decode(errors="ignore").encode())
    except OSError as error:
        complain(f"the summary of the step cannot be written: {error.strerror}")


def _summary(result: BuildResult) -> list[str]:
    """Return the lines of the summary, in Markdown."""
    task_id = result.turns[-1].task_id
    lines = [f"## {markdown(task_id)}: {markdown(result.decision)}", "", markdown(result.summary)]
    lines += ["", "| | |", "|---|---|", f"| Status | {markdown(result.status)} |"]
    with suppress(GuardKitError):
        lines += _cost(read_progress(task_id, root=result.place.root))
    for line in proof(result):
        name, _, told = line.partition(": ")
        lines.append(f"| {markdown(name)} | {markdown(told)} |")
    lines += ["", *(_turn(turn) for turn in result.turns[-TURNS_MAX:])]
    report = result.turns[-1].validation_results.report
    if report and report.failures:
        lines += ["", "Failing tests:", ""]
        lines += (f"- {markdown(failure)}" for failure in report.failures[:FAILURES_MAX])
        more = len(report.failures) - FAILURES_MAX
        lines += [f"- and {more} more"] if more > 0 else []
    return lines


def _summary_of_feature(result: FeatureResult) -> list[str]:
    lines = [f"## {markdown(result.place.path.name)}: {markdown(result.status)}", ""]
    return [*lines, *(f"- {markdown(line)}" for line in outcome(result)[:TURNS_MAX])]


def markdown(text: str) -> str:
    """Return a text in Markdown, in which nothing of it is more than a text."""
    return PUNCTUATION.sub(r"\\\g<0>", clip(clean(text), CELL_MAX))


def _turn(turn: CoachTurn) -> str:
    return f"- Turn {turn.turn}: {markdown(turn.decision)}: {markdown(turn.rationale)}"


def _cost(now: Snapshot) -> list[str]:
    took = f"{duration(now.metrics.elapsed_seconds)}, {now.turn} of {now.turn_max} turns"
    return [f"| Took | {markdown(', '.join((took, *used(now))))} |"]


def _in_workspace(result: BuildResult, found: Location) -> Location:
    """Return a path as GitHub wants it: relative to the workspace of the job."""
    workspace = os.environ.get("GITHUB_WORKSPACE")
    if not found.path or not workspace:
        return found
    whole = os.path.join(os.path.realpath(result.place.root), found.path)  # noqa: PTH118
    return Location(os.path.relpath(whole, os.path.realpath(workspace)), found.line)
