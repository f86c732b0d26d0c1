"""What a build is measured against: when it is resumed, that is believed only where it is proven.

The commit that a worktree was made from, and the tree that it was then, are kept in refs of ours,
which anybody can change who works in the repository, and noted beside the journal. Both have to
agree, and the tree has to be what a checkout of the commit becomes by filters and attributes, found
out anew for each file that differs. Without the note nothing is gone on with.

Not seen: who changes the ref and the note alike to another commit, of which the branch descends, or
hides what filters have always made of a file; and who changes the filters themselves meanwhile.
"""

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from anyio import to_thread
from msgspec.structs import replace

from guardkit.errors import WorkspaceError
from guardkit.orchestrator.repository.folders import remove
from guardkit.orchestrator.repository.git import LIMIT_CHECKOUT, Git
from guardkit.orchestrator.repository.kept import KEPT, REFS, find_kept
from guardkit.progress.folder import open_builds

NOTE = "baseline.json"
MAX_NOTE = 4096  # bytes


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What a build is measured against.

    base: the commit that its worktree was made from. baseline: the tree that it was then.
    """

    base: str
    baseline: str


async def note(root: Path, task_id: str, measured: Measured) -> None:
    """Note what a build is measured against; one without a note, as on a full disk, runs on."""
    await to_thread.run_sync(_write, root, task_id, measured, abandon_on_cancel=True)


def _write(root: Path, task_id: str, measured: Measured) -> None:
    with (
        suppress(OSError),
        open_builds(root, make=True) as builds,
        builds.folder(task_id, make=True) as folder,
    ):
        builds.ignore()
        remove(folder, NOTE)
        folder.replace(NOTE, msgspec.json.encode(measured))


async def find_measured(git: Git, task_id: str) -> Measured | None:
    """Return what an earlier run was measured against, None where that is not kept.

    git: for the checkout.
    Raises WorkspaceError where somebody has changed it, and GitError.
    """
    kept = await find_kept(git, task_id)
    noted = await to_thread.run_sync(_read, git.folder, task_id)
    if not noted or kept.keys().isdisjoint(KEPT):
        return None
    for name in KEPT:
        value = getattr(noted, name)
        if kept.get(name) != value:
            what = f"{REFS}/{task_id}/{name} is {kept.get(name, 'gone')}"
            raise _changed(task_id, f"{what}, and {NOTE} says {value}")
    if not await _is_made_of(git, noted):
        what = f"no checkout of {noted.base[:12]} looks like {REFS}/{task_id}/baseline"
        raise _changed(task_id, what)
    return noted


def _read(root: Path, task_id: str) -> Measured | None:
    with (
        suppress(OSError, UnicodeDecodeError, msgspec.MsgspecError),
        open_builds(root) as builds,
        builds.folder(task_id) as folder,
    ):
        return msgspec.json.decode(folder.read(NOTE, MAX_NOTE), type=Measured)
    return None


async def _is_made_of(git: Git, measured: Measured) -> bool:
    """Return whether a tree is what a commit becomes in a checkout, by its content.

    Where a file differs, it is checked out and read again, with the attributes of the commit.
    """
    words = ("diff-tree", "-r", "-z", "--no-renames", measured.base, measured.baseline)
    every = await git.names(*words, "--name-only")
    if every != await git.names(*words, "--name-only", "--diff-filter=M"):
        return False
    if not every:
        return True
    listed = "".join(f"{path}\0" for path in every).encode(errors="surrogateescape")
    with TemporaryDirectory(prefix="guardkit-") as scratch:
        own = replace(git, folder=Path(scratch), index=Path(scratch, ".git", "index"))
        await to_thread.run_sync(Path(scratch, ".git").mkdir)  # where no file of a tree can be
        await own.run("read-tree", measured.base)
        for command in ("checkout-index", "update-index"):
            await own.run(command, "-z", "--stdin", stdin=listed, limit=LIMIT_CHECKOUT)
        return await own.line("write-tree") == measured.baseline


def _changed(task_id: str, what: str) -> WorkspaceError:
    why = "somebody has changed that, or a filter"
    return WorkspaceError(f"{task_id} cannot be resumed: {what}: {why}; start without --resume")
