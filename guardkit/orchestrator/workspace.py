"""Where a build works: a git worktree, what has changed in it, and what its tests have reported."""

from collections.abc import Collection, Mapping
from pathlib import Path
from shlex import quote
from subprocess import DEVNULL

import anyio
import msgspec
from defusedxml.ElementTree import ParseError, parse

from guardkit.errors import BuildAlreadyRunningError, WorkspaceError
from guardkit.orchestrator.agents import environment, plain
from guardkit.progress.lock import is_held

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

    Raises BuildAlreadyRunningError, or WorkspaceError, in one line that names the remedy.
    """
    path, branch = root / ".guardkit" / "worktrees" / task_id, f"autobuild/{task_id}"
    try:
        base = (await _git(root, "log", "-1", "--format=%H", "--no-show-signature")).strip()
    except WorkspaceError:
        _check_top(root)
        raise
    await _git(root, "check-ref-format", "--branch", branch)
    if await _git(root, "for-each-ref", f"refs/heads/{branch}") or await anyio.Path(path).exists():
        if is_held(root, task_id):
            raise BuildAlreadyRunningError(f"{task_id} is being built: see guardkit status")
        git = f"git -C {quote(str(root))}"
        drop = f"rm -rf {quote(str(path))}; {git} worktree prune; {git} branch -D {branch}"
        raise WorkspaceError(f"{branch} is of an earlier run: take what you need, then: {drop}")
    return Workspace(root=root, path=path, branch=branch, base=base)


def _check_top(root: Path) -> None:
    folders = root.resolve().parents if not (root / ".git").exists() else ()
    top = next((folder for folder in folders if (folder / ".git").exists()), None)
    if top:
        remedy = f"use --root {quote(str(top))}"
        raise WorkspaceError(f"{root} is not the top folder of its git repository: {remedy}")


async def open_workspace(place: Workspace) -> None:
    """Make the worktree that was planned; raises WorkspaceError, or OSError."""
    folder = anyio.Path(place.path.parent)
    await folder.mkdir(parents=True, exist_ok=True)
    await (folder / ".gitignore").write_text("*\n")
    await _git(place.root, "worktree", "add", "-b", place.branch, str(place.path), place.base)


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


def read_report(path: Path) -> Report | None:
    """Read the JUnit XML at `path`; None when there is none, or none that can be trusted.

    pytest lists a test twice when its teardown failed too, an xfail as skipped, an xpass as passed.
    """
    try:
        if not path.is_file() or path.stat().st_size > MAX_REPORT_BYTES:
            return None
        top = parse(path, forbid_dtd=True)
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
