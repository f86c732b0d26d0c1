"""How the tasks of a feature are before it runs, and what is to be done with each."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec
from anyio import to_thread

from guardkit import Snapshot, read_progress
from guardkit.errors import GuardKitError
from guardkit.orchestrator.features.file import FeatureTask
from guardkit.orchestrator.repository.git import Git
from guardkit.orchestrator.repository.home import open_worktrees
from guardkit.progress.folder import open_builds
from guardkit.progress.lock import is_taken

BRANCHES = "refs/heads/autobuild/"

Kind = Literal["new", "again", "interrupted", "completed", "failed", "left over"]
RUNS = {"new", "again", "interrupted"}


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is found of a task.

    last: its newest snapshot, None where there is none that can be read.
    tip: the commit of its branch, "" without one.
    is_there: whether there is something where its worktree belongs.
    is_taken: whether somebody builds it now.
    """

    last: Snapshot | None = None
    tip: str = ""
    is_there: bool = False
    is_taken: bool = False


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a task is.

    kind: new; again: it has failed, and is asked for once more; interrupted: it is gone on with;
        completed; failed; left over: an earlier run has left something, and is not gone on with.
    facts: what is found of it.
    tip: the commit of what was approved, "" where that is in the checkout already, or nothing was.
    """

    kind: Kind
    facts: Facts
    tip: str = ""

    @property
    def runs(self) -> bool:
        """Whether the task is to be built."""
        return self.kind in RUNS

    @property
    def document(self) -> Snapshot | None:
        """The snapshot in which it has ended so, None where it tells of no such end."""
        last = self.facts.last
        return last if last and last.status == self.kind else None


def stand(task: FeatureTask, facts: Facts, *, resume: bool, retry: bool) -> Standing:
    """Return how a task is, by what its feature tells of it and what is found.

    resume: whether earlier runs are gone on with. retry: whether what has failed is run again.
    """
    last, is_left = facts.last, facts.tip != "" or facts.is_there
    status = last.status if last else ""
    if task.status == "completed":
        # Its branch may be of a later try that was not approved.
        tip = facts.tip if status in {"completed", ""} else ""
        return Standing(kind="completed", facts=facts, tip=tip)
    if facts.is_taken:
        return Standing(kind="new", facts=facts)
    if not resume:
        return Standing(kind="left over" if is_left else "new", facts=facts)
    if status == "completed" and facts.tip:
        return Standing(kind="completed", facts=facts, tip=facts.tip)
    if (status or task.status) == "failed":
        return Standing(kind="again" if retry else "failed", facts=facts)
    return Standing(kind="interrupted" if is_left else "new", facts=facts)


async def find_facts(git: Git, root: Path, ids: Iterable[str]) -> dict[str, Facts]:
    """Return what is found of some tasks; git: for the checkout `root`. Raises GitError."""
    listed = await git.shared.run("for-each-ref", "--format=%(objectname) %(refname)", BRANCHES)
    pairs = (line.partition(" ") for line in listed.splitlines())
    tips = {ref.removeprefix(BRANCHES): commit for commit, _, ref in pairs}
    return await to_thread.run_sync(_find, root, [*ids], tips)


def _find(root: Path, ids: Iterable[str], tips: Mapping[str, str]) -> dict[str, Facts]:
    there, taken = set[str](), set[str]()
    with suppress(OSError), open_worktrees(root) as folder:
        there.update(folder.names())
    with suppress(OSError), open_builds(root) as builds:
        taken.update(each for each in ids if is_taken(builds, each))
    return {
        each: Facts(
            last=read_last(root, each),
            tip=tips.get(each, ""),
            is_there=each in there,
            is_taken=each in taken,
        )
        for each in ids
    }


def read_last(root: Path, task_id: str) -> Snapshot | None:
    """Return the newest snapshot of a task, None where there is none that can be read."""
    with suppress(GuardKitError):
        return read_progress(task_id, root=root)
    return None
