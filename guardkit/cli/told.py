"""What is told of a build before it and after it: what is planned, proven and left."""

from contextlib import suppress
from pathlib import Path
from shlex import quote

from guardkit.errors import GuardKitError
from guardkit.orchestrator.autobuild import AutoBuildOrchestrator
from guardkit.orchestrator.loop import BuildResult, Plan
from guardkit.orchestrator.phrases import many, some
from guardkit.orchestrator.proof.runners import JUNIT
from guardkit.orchestrator.proof.weaker import find_tests
from guardkit.orchestrator.repository.trees import of_kind
from guardkit.places.words import counts, duration, tasks
from guardkit.progress.paths import HOME, WORKTREES, build_dir
from guardkit.progress.reader import read_progress

KINDS = {"created": "A", "modified": "M", "deleted": "D"}


def planned(orchestrator: AutoBuildOrchestrator, plan: Plan) -> list[str]:
    """Return the lines that tell what a build would do."""
    task, place = plan.task, plan.place
    budgets = orchestrator.budgets
    within = duration(budgets.player), duration(budgets.tests)
    report = Path(build_dir(place.root, task.id), "coach_turn_N.xml")
    lines = [
        f"Task: {task.id}, {task.title}, of {near(task.path, place.root)}",
        f"Worktree: {near(place.path, place.root)}, branch {place.branch} from {place.base[:12]}",
        f"Player: {orchestrator.player}",
        f"  in {many(orchestrator.max_turns, 'turn')} at most, each within {within[0]}",
        *([f"Coach: {orchestrator.coach}, on top of the tests"] if orchestrator.coach else []),
        f"Tests: {orchestrator.test}",
        f"  each time within {within[1]}; {JUNIT} is {near(report, place.root)}",
    ]
    if plan.dirty:
        lines.append(
            f"Not in it: {many(len(plan.dirty), 'uncommitted change')}, {some(plan.dirty)}"
        )
    return [*lines, "Nothing speaks against it. Nothing was written."]


def proof(result: BuildResult) -> list[str]:
    """Return the lines that tell what the last turn has proven, and what to do with it."""
    found, lines = result.turns[-1].validation_results, list[str]()
    if report := found.report:
        total = report.passed + len(report.failures)
        skipped = f", {report.skipped} skipped" if report.skipped else ""
        name = f"coach_turn_{len(result.turns)}.xml"
        lines.append(f"Tests: {report.passed} passed of {total}{skipped}, by {name}")
    numbers = {word: len(of_kind(letter, found.changes)) for word, letter in KINDS.items()}
    files = ", ".join(f"{number} {word}" for word, number in numbers.items() if number)
    tests = sorted(find_tests(found.changes))
    also = f"; tests among them: {some(tests)}" if tests else ""
    lines.append(f"Files: {files or 'none changed'} by the Player{also}")
    root, branch = result.place.root, result.place.branch
    lines.append(f"Worktree: {result.worktree}, branch {branch}")
    if result.commit:
        git = f"git -C {quote(str(root))}"
        lines.append(f"Commit: {result.commit}; no hook has run")
        lines.append(f"Review: {git} diff {result.place.base[:12]} {branch}")
        lines.append(f"Merge: {git} merge {branch}")
    else:
        lines.append(
            f"Next: guardkit log {result.turns[-1].task_id} --last --root {quote(str(root))}"
        )
    return lines


def kept(root: str, task_id: str) -> str:
    """Return where the work of a build is that was ended early, as the end of a sentence."""
    path = Path(root, HOME, WORKTREES, task_id).absolute()
    if not path.is_dir():
        return ""
    where, what = f"{path}, branch autobuild/{task_id}", ""
    with suppress(GuardKitError):
        found = read_progress(task_id, root=root)
        if found.tasks:
            where = f"{path.parent}, a worktree and a branch for each task"
        what = ", ".join(tasks(found) or counts(found))
    return f"; its work is kept in {where}{': ' * bool(what)}{what}; go on with --resume"


def near(path: Path, root: Path) -> str:
    """Return a path as it is from the root of the project, if it is below it."""
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
