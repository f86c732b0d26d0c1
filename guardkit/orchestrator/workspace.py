"""Where a build works: a git worktree, what has changed in it, and what its tests have reported."""

import os
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shlex import quote
from subprocess import DEVNULL

import anyio
from defusedxml.ElementTree import ParseError, parse

from guardkit.errors import WorkspaceError
from guardkit.orchestrator.agents import environment, plain

MAX_REPORT_BYTES = 32 * 1024 * 1024
# What a user may have configured that would run something, or change what git says.
_GIT = ("git", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """A worktree from commit `base` of the checkout `root`; `note` tells what it leaves out."""

    root: Path
    path: Path
    branch: str
    base: str
    note: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """The files that differ from the base commit, by their paths in the worktree."""

    created: frozenset[str] = frozenset()
    modified: frozenset[str] = frozenset()
    deleted: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class TestReport:
    """Unique tests by their worst outcome; `failures` are "name: first line of the message".

    `total` is passed and failed: a skipped test proves nothing and is in neither.
    """

    __test__ = False  # for pytest: this is no class of tests

    passed: int
    failed: int
    skipped: int
    total: int
    failures: tuple[str, ...]


async def plan_workspace(root: Path | str, task_id: str) -> Workspace:
    """Return where `root`/.guardkit/worktrees/`task_id` can be made, on a new branch from HEAD.

    Writes nothing. Raises WorkspaceError, in one line that names the remedy.
    """
    root, branch = Path(await anyio.Path(root).resolve()), f"autobuild/{task_id}"
    path = root / ".guardkit" / "worktrees" / task_id
    top = (await _git(root, "rev-parse", "--show-toplevel")).strip("\n")
    if not await anyio.Path(top).samefile(root):
        raise WorkspaceError(f"{root} is a folder inside the repository {top}: make that the root")
    unborn = f"{root} has no commit that a build could start from: make a first one"
    base = (await _git(root, "rev-parse", "--verify", "HEAD^{commit}", failure=unborn)).strip()
    unfit = f"git takes no branch named {branch}: give the task another id"
    await _git(root, "check-ref-format", "--branch", branch, failure=unfit)
    known = await _git(root, "for-each-ref", f"refs/heads/{branch}")
    if known or await anyio.Path(path).exists():
        raise WorkspaceError(_leftovers(root, path, branch))
    dirty = len(await checkout_state(root)) - 1
    changes = f"{dirty} uncommitted change{'s are' if dirty > 1 else ' is'}"
    note = f"{changes} not part of the build, which starts from commit {base[:7]}"
    return Workspace(root=root, path=path, branch=branch, base=base, note=note if dirty else None)


async def open_workspace(planned: Workspace) -> None:
    """Make the worktree that was planned; raises WorkspaceError."""
    folder = anyio.Path(planned.path.parent)
    try:
        await folder.mkdir(parents=True, exist_ok=True)
        await (folder / ".gitignore").write_text("*\n")
    except OSError as error:
        raise WorkspaceError(f"no worktree can be made in {folder}: {error}") from error
    new = ("worktree", "add", "-b", planned.branch, str(planned.path), planned.base)
    await _git(planned.root, *new)


async def changed_files(
    workspace: Workspace, without: Collection[str] = (), *, live: bool = False
) -> Changes:
    """Return what differs from the base commit but for `without`; raises WorkspaceError.

    `live` takes no lock that the Player's git may want, and counts files that were only touched.
    """
    refresh = ("-c", f"diff.autoRefreshIndex={str(not live).lower()}", "diff", "--no-ext-diff")
    diff = (*refresh, "--no-renames", "-z", "--name-status", workspace.base, "--")
    others = ("ls-files", "-z", "-o", "--exclude-standard", "-x", "__pycache__/")
    fields = (await _git(workspace.path, *diff)).split("\0")
    letters = dict.fromkeys((await _git(workspace.path, *others)).split("\0"), "A")
    letters |= zip(fields[1::2], fields[::2], strict=False)
    ours = {path for path in letters if not path or path.startswith(".guardkit/")}
    paths = frozenset(letters) - ours - {*without}
    created = frozenset(path for path in paths if letters[path] == "A")
    deleted = frozenset(path for path in paths if letters[path] == "D")
    return Changes(created=created, modified=paths - created - deleted, deleted=deleted)


async def checkout_state(root: Path) -> set[str]:
    """Return what tells whether the checkout has changed; raises WorkspaceError.

    Its commit, and what `git status` says, each path followed by a NUL and its size and time.
    """
    status = ("status", "--porcelain", "-z", "--no-renames", "--untracked-files=all")
    entries = (await _git(root, *status)).split("\0")
    head = f"@@ HEAD, now {await _git(root, 'rev-parse', '--short', 'HEAD')}".strip()
    ours = [entry for entry in entries if entry and not entry.startswith(".guardkit/", 3)]
    return {head, *(f"{entry}\0{_stamp(root / entry[3:])}" for entry in ours)}


def _stamp(path: Path) -> str:
    try:
        status = path.lstat()
    except OSError:
        return "gone"
    return f"{status.st_size} {status.st_mtime_ns}"


def _leftovers(root: Path, path: Path, branch: str) -> str:
    """Return what to do with a worktree or branch of an earlier run; works for either of them."""
    folder, spare, git = quote(str(path)), quote(f"{path}-kept"), f"git -C {quote(str(root))}"
    keep = f"mv {folder} {spare}; {git} worktree repair {spare}; {git} worktree prune"
    drop = f"rm -rf {folder}; {git} worktree prune; {git} branch -D {branch}"
    remedy = (
        f"keep it with: {keep}; {git} branch -m {branch} {branch}-kept - or remove it with: {drop}"
    )
    return f"the worktree or branch {branch} is left of an earlier run: {remedy}"


async def _git(cwd: Path, *arguments: str, failure: str = "") -> str:
    # A worktree whose .git is gone must not be taken for a folder of the checkout around it.
    ceiling = str(cwd.parent) if cwd.parent.name == "worktrees" else ""
    own = {"GIT_OPTIONAL_LOCKS": "0", "GIT_CEILING_DIRECTORIES": ceiling, "LC_ALL": "C"}
    run = partial(anyio.run_process, stdin=DEVNULL, check=False, env=environment(own))
    try:
        result = await run((*_GIT, *arguments), cwd=cwd)
    except OSError as error:
        raise WorkspaceError(f"git cannot be run in {cwd}, is it installed? {error}") from error
    if result.returncode:
        reason = os.fsdecode(result.stderr).rpartition("fatal: ")[2].strip().partition("\n")[0]
        remedy = ": make one with git init" if "not a git repository" in reason else ""
        raise WorkspaceError(failure or f"git fails in {cwd}: {reason}{remedy}")
    return os.fsdecode(result.stdout)


def read_report(path: Path) -> TestReport | None:
    """Read the JUnit XML at `path`; None when there is none, or none that can be trusted.

    pytest lists a test twice when its teardown failed too, an xfail as skipped, an xpass as passed.
    """
    try:
        if not path.is_file() or path.stat().st_size > MAX_REPORT_BYTES:
            return None
        top = parse(path, forbid_dtd=True).getroot()
    except (OSError, ValueError, LookupError, ParseError):  # broken, entities, unknown encoding
        return None
    if top is None or top.tag not in {"testsuites", "testsuite"}:
        return None
    worst: dict[tuple[str, str], tuple[int, str]] = {}
    for case in top.iter("testcase"):
        key = case.get("classname", ""), case.get("name", "")
        for child in (case, *case):
            rank = {"skipped": 1, "failure": 2, "error": 2}.get(child.tag, 0)
            message = plain(child.get("message") or child.text or "").strip().partition("\n")[0]
            outcome = rank, f"{'::'.join(filter(None, key))}: {message[:200]}"
            worst[key] = max(worst.get(key, outcome), outcome, key=lambda one: one[0])
    ranks = [rank for rank, _ in worst.values()]
    failures = tuple(text for rank, text in worst.values() if rank > 1)
    passed, skipped, failed = (ranks.count(rank) for rank in range(3))
    return TestReport(
        passed=passed, failed=failed, skipped=skipped, total=passed + failed, failures=failures
    )
