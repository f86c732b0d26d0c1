"""What is kept of a build in refs of ours: what it is measured against, and the tree of each turn.

`refs/guardkit/TASK/base`, `baseline`, `turn-N` and `after-N` are of the newest run; those of the
runs before are below `earlier/1`, `earlier/2` and so on. Whoever has made one of them stand for
another ref, such as a branch, has that one neither written nor deleted.
"""

from collections.abc import Iterable

from guardkit.orchestrator.repository.git import Git

REFS = "refs/guardkit"
KEPT = ("base", "baseline")  # what a build is measured against, by which it may be resumed
EARLIER = "earlier/"


async def keep(git: Git, task_id: str, name: str, content: str) -> None:
    """Keep a tree, or a commit, as `refs/guardkit/TASK/name`; raises GitError."""
    await git.shared.run("update-ref", "--no-deref", f"{REFS}/{task_id}/{name}", content)


async def is_kept(git: Git, task_id: str, name: str) -> bool:
    """Return whether something is kept under a name."""
    return await git.shared.asks("rev-parse", "-q", "--verify", f"{REFS}/{task_id}/{name}")


async def shelve(git: Git, task_id: str) -> None:
    """Move what is kept of the newest run of a task to that of earlier ones; raises GitError."""
    found = await find_kept(git, task_id)
    runs = [name.split("/")[1] for name in found if name.startswith(EARLIER)]
    number = 1 + max((int(run) for run in runs if run.isdecimal()), default=0)
    place = f"{REFS}/{task_id}"
    new = {name: content for name, content in found.items() if not name.startswith(EARLIER)}
    moved = [f"create {place}/{EARLIER}{number}/{name} {content}" for name, content in new.items()]
    await _update(git, [*moved, *(f"delete {place}/{name}" for name in new)])


async def find_kept(git: Git, task_id: str) -> dict[str, str]:
    """Return what is kept of a task, also of earlier runs: objects by name; raises GitError."""
    place = f"{REFS}/{task_id}"
    listed = await git.shared.run("for-each-ref", "--format=%(refname) %(objectname)", place)
    pairs = (line.split(" ") for line in listed.splitlines())
    return {ref.removeprefix(f"{place}/"): content for ref, content in pairs}


async def find_tasks(git: Git) -> set[str]:
    """Return the tasks of which something is kept; raises GitError."""
    listed = await git.shared.run("for-each-ref", "--format=%(refname)", f"{REFS}/")
    return {ref.removeprefix(f"{REFS}/").split("/")[0] for ref in listed.splitlines()}


async def forget(git: Git, task_id: str, names: Iterable[str]) -> None:
    """Keep what has some names no longer; raises GitError."""
    await _update(git, [f"delete {REFS}/{task_id}/{name}" for name in names])


async def _update(git: Git, changes: Iterable[str]) -> None:
    """Change refs, all of them or none."""
    if text := "".join(f"option no-deref\n{change}\n" for change in changes):
        await git.shared.run("update-ref", "--stdin", stdin=text.encode())
