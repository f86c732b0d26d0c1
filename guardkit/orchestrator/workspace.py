"""Where a build works: a git worktree, what has changed in it, and what its tests have reported."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from shlex import quote
from subprocess import DEVNULL

import anyio
import msgspec
from anyio import to_thread
from defusedxml.ElementTree import ParseError, fromstring

from guardkit.errors import WorkspaceError
from guardkit.orchestrator.agents import environment, plain
from guardkit.progress.folder import Folder, open_builds, open_root
from guardkit.progress.lock import is_taken
from guardkit.progress.paths import HOME, WORKTREES

MAX_REPORT_BYTES = 32 * 1024 * 1024
# What a user may have configured that would run something, or change what git says.
_GIT = ("git", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")

Changes = Mapping[str, str]  # by path: "A" for created, "M" modified, "D" deleted


class Workspace(msgspec.Struct, frozen=True, kw_only=True):
    """A worktree at `path`, on a `branch` from commit `base` of the checkout `root`."""

    root: Path
    path: Path
    branch: str
    base: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Tests by their worst outcome, skipped ones left out; failures are "name: first line"."""

    passed: int
    failures: list[str]


async def plan_workspace(root: Path, task_id: str) -> Workspace:
    """Return where `root`/.guardkit/worktrees/`task_id` can be made, from HEAD; write nothing.

    A task that is being built has its worktree: `track_build` refuses it, and names the builder.
    Raises WorkspaceError, in one line that names the remedy.
    """
    path, branch = root / HOME / WORKTREES / task_id, f"autobuild/{task_id}"
    try:
        base = (await _git(root, "log", "-1", "--format=%H", "--no-show-signature")).strip()
    except WorkspaceError:
        _check_top(root)
        raise
    await _git(root, "check-ref-format", "--branch", branch)
    left = await to_thread.run_sync(_is_there, root, task_id)
    left = left or bool(await _git(root, "for-each-ref", f"refs/heads/{branch}"))
    if left and not _is_being_built(root, task_id):
        git = f"git -C {quote(str(root))}"
        drop = f"rm -rf {quote(str(path))}; {git} worktree prune; {git} branch -D {branch}"
        raise WorkspaceError(f"{branch} is of an earlier run: take what you need, then: {drop}")
    return Workspace(root=root, path=path, branch=branch, base=base)


def _is_there(root: Path, task_id: str) -> bool:
    """Return whether something is where a worktree is to be; raises WorkspaceError."""
    try:
        with open_root(root) as top, top.folder(HOME) as home, home.folder(WORKTREES) as folder:
            folder.status(task_id)
    except FileNotFoundError:
        return False
    except OSError as error:  # such as a link: no command is to be given that follows it
        raise _unusable(error) from error
    return True


def _is_being_built(root: Path, task_id: str) -> bool:
    """Return whether a living builder, of whatever run, has taken a task."""
    with suppress(OSError), open_builds(root) as builds:
        return is_taken(builds, task_id)
    return False


def _check_top(root: Path) -> None:
    folders = root.resolve().parents if not (root / ".git").exists() else ()
    top = next((folder for folder in folders if (folder / ".git").exists()), None)
    if top:
        remedy = f"use --root {quote(str(top))}"
        raise WorkspaceError(f"{root} is not the top folder of its git repository: {remedy}")


async def open_workspace(place: Workspace) -> None:
    """Make the worktree that was planned; raises WorkspaceError."""
    await to_thread.run_sync(_make_home, place.root)
    await _git(place.root, "worktree", "add", "-b", place.branch, str(place.path), place.base)


def _make_home(root: Path) -> None:
    """Make the folder of all worktrees, of which git is to show nothing."""
    try:
        with (
            open_root(root) as top,
            top.folder(HOME, make=True) as home,
            home.folder(WORKTREES, make=True) as folder,
        ):
            folder.ignore()
    except OSError as error:
        raise _unusable(error) from error


def open_build(root: Path, task_id: str) -> Folder:
    """Return the folder of a build's files, made if need be; raises WorkspaceError."""
    try:
        with open_builds(root, make=True) as builds:
            return builds.folder(task_id, make=True)
    except OSError as error:
        raise _unusable(error) from error


def _unusable(error: OSError) -> WorkspaceError:
    """Return what to raise where a folder of ours is none, is a link, or cannot be written."""
    what = f"{error.filename} cannot be used: {error.strerror}"
    return WorkspaceError(f"{what}: make it a folder that can be written, or remove it")


async def changed_files(
    folder: Path, base: str, without: Collection[str] = (), *, live: bool = False
) -> Changes:
    """Return what differs in `folder` from commit `base`, but for `without` and caches.

    `live` takes no lock that another git there may want, and takes touched files for modified.
    """
    refresh = "diff.autoRefreshIndex=false" if live else "diff.autoRefreshIndex=true"
    diff = ("-c", refresh, "diff", "--no-ext-diff", "--no-renames", "--name-status", "-z", base)
    untracked = ("ls-files", "--others", "--exclude-standard", "-x", "__pycache__/", "-z")
    others = (await _git(folder, *untracked, "--", ":!.guardkit")).split("\0")[:-1]
    fields = (await _git(folder, *diff, "--", ":!.guardkit")).split("\0")
    letters = dict(zip(fields[1::2], fields[::2], strict=False)) | dict.fromkeys(others, "A")
    return {
        path: letter if letter in "AD" else "M"  # T, of another type, and U, unmerged
        for path, letter in letters.items()
        if path not in without
    }


async def current_branch(folder: Path) -> str:
    """Return the branch that is checked out in `folder`, "" where it is none."""
    return (await _git(folder, "branch", "--show-current")).strip()


def of_kind(letter: str, changes: Changes) -> list[str]:
    """Return the paths that were created ("A"), modified ("M") or deleted ("D"), sorted."""
    return sorted(path for path, kind in changes.items() if kind == letter)


async def _git(cwd: Path, *arguments: str) -> str:
    # A worktree whose .git is gone must not be taken for a folder of the checkout around it.
    own = {"GIT_OPTIONAL_LOCKS": "0", "GIT_CEILING_DIRECTORIES": str(cwd.parent), "LC_ALL": "C"}
    command, env = (*_GIT, *arguments), environment(own)
    try:
        result = await anyio.run_process(command, stdin=DEVNULL, check=False, cwd=cwd, env=env)
    except OSError as error:
        if not await anyio.Path(cwd).is_dir():
            raise WorkspaceError(f"the folder {cwd} is gone") from error
        raise WorkspaceError(f"git cannot be run in {cwd}, is it installed? {error}") from error
    if result.returncode:
        reason = result.stderr.decode(errors="replace").rpartition("fatal: ")[2].partition("\n")[0]
        raise WorkspaceError(f"git fails in {cwd}: {reason}")
    return result.stdout.decode(errors="replace")


def read_report(folder: Folder, name: str) -> Report | None:
    """Read the JUnit XML of that name; None when there is none, or none that can be trusted.

    pytest lists a test twice when its teardown failed too, an xfail as skipped, an xpass as passed.
    """
    try:
        document = folder.read(name, MAX_REPORT_BYTES + 1)
        if len(document) > MAX_REPORT_BYTES:
            return None
        top = fromstring(document, forbid_dtd=True)
    except (OSError, ValueError, LookupError, ParseError):  # broken, entities, unknown encoding
        return None
    seen, skipped, failures = set[str](), set[str](), dict[str, str]()
    for case in top.iter("testcase"):
        name = "::".join(filter(None, (case.get("classname"), case.get("name"))))
        seen.add(name)
        for child in case:
            if child.tag == "skipped":
                skipped.add(name)
            elif child.tag in {"failure", "error"}:
                message = plain(child.get("message") or child.text or "").strip().partition("\n")[0]
                failures.setdefault(name, f"{name}: {message[:200]}")
    passed = seen - skipped - failures.keys()
    return Report(passed=len(passed), failures=list(failures.values()))
