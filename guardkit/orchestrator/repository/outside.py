"""What has changed outside a worktree while a turn was on: told, and some of it refused.

Nobody can tell the Player's hand from the user's, who works on meanwhile: so changes are named.
Refused is only what would change what git says of this task: its branch, where its worktree leads,
the configuration of the repository, hooks, `info/*`, and objects that others are to stand for.

Not seen: files outside of the checkout, what lies deeper in folders that are ignored, caches of
Python's, other worktrees, and branches and folders of other builds.
"""

import os
import re
import stat
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path

import msgspec
from anyio import to_thread

from guardkit.orchestrator.repository.apart import CACHE
from guardkit.orchestrator.repository.commits import unfit
from guardkit.orchestrator.repository.git import Git
from guardkit.orchestrator.repository.kept import KEPT, REFS, find_kept
from guardkit.orchestrator.repository.trees import OURS, shown
from guardkit.orchestrator.repository.workspace import Worktree, current_branch
from guardkit.progress.folder import read_file

MAX_BYTES = 2**20  # of a hook that are looked at
INFO = ("exclude", "attributes", "grafts")
KINDS = {"refs/heads/": "branch ", "refs/tags/": "tag "}
PASSED_OVER = ("refs/guardkit/", "refs/heads/autobuild/")  # other builds', and what we keep
REPLACED = "refs/replace/"  # our own git passes these over; who merges the branch does not
# `git push -u`, `git switch` and `git submodule update` write these: they change nothing for us.
FREE = re.compile(r"(branch|remote|lfs)\..*|submodule\..*\.(url|active)", re.DOTALL)
STATUS = (
    *("status", "--porcelain=v2", "-z", "--no-renames", "--ignore-submodules=dirty"),
    *("--untracked-files=all", "--ignored=matching", "--", OURS),
)

Seen = Mapping[str, object]  # by what it is called: what differs when it has changed


class Observation(msgspec.Struct, frozen=True):
    """What is outside of a worktree at an instant.

    named: what others may change. guarded: what only we may.
    """

    named: Seen
    guarded: Seen


async def observe(tree: Worktree) -> Observation:
    """Look at what is outside of a worktree; raises GitError."""
    git = tree.place.git
    free, guarded = await _configuration(tree.git)
    refs = await _refs(git)
    guarded |= {name: refs.pop(name) for name in [*refs] if name.startswith(REPLACED)}
    named = {**refs, **await _files(git), **await _flags(git), **free}
    named.pop(f"branch {await current_branch(tree.git)}", None)  # told already: it is there now
    guarded |= await to_thread.run_sync(_metadata, tree)
    kept = await find_kept(git, tree.path.name)
    guarded |= {f"{REFS}/{tree.path.name}/{name}": kept.get(name) for name in KEPT}
    if why := await unfit(tree):
        guarded[why] = True
    return Observation(named, guarded)


def changed(before: Seen, after: Seen) -> list[str]:
    """Return what has changed between two looks, sorted."""
    return sorted(
        name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
    )


async def _refs(git: Git) -> dict[str, object]:
    lines = await git.shared.run("for-each-ref", "--format=%(objectname) %(refname)")
    found = dict[str, object]()
    for line in lines.splitlines():
        value, _, ref = line.partition(" ")
        if not ref.startswith(PASSED_OVER):
            prefix = next((prefix for prefix in KINDS if ref.startswith(prefix)), "")
            found[shown(KINDS.get(prefix, "") + ref.removeprefix(prefix))] = value
    is_on_branch = await git.asks("symbolic-ref", "-q", "HEAD")
    how = ("symbolic-ref", "HEAD") if is_on_branch else ("rev-parse", "HEAD")
    return {**found, "HEAD": await git.line(*how)}


async def _files(git: Git) -> dict[str, object]:
    """Return what is not as the checkout's commit has it, and what is ignored."""
    entries = [(entry, _path(entry)) for entry in await git.names(*STATUS)]
    kept = [(entry, path) for entry, path in entries if CACHE not in path.split("/")]
    return await to_thread.run_sync(_states, git.folder, kept)


async def uncommitted(git: Git) -> list[str]:
    """Return the files of the checkout that are not as its commit has them; raises GitError."""
    return [shown(_path(entry)) for entry in await git.names(*STATUS) if entry[0] != "!"]


def _path(entry: str) -> str:
    before = {"1": 8, "u": 10}.get(entry[0], 1)  # fields before the path
    return entry.split(" ", before)[before]


def _states(folder: Path, entries: Iterable[tuple[str, str]]) -> dict[str, object]:
    found = dict[str, object]()
    for entry, path in entries:
        try:
            state = os.lstat(folder / path)
            found[shown(path)] = entry, state.st_size, state.st_mtime_ns, state.st_ino
        except OSError:
            found[shown(path)] = entry
    return found


async def _flags(git: Git) -> dict[str, object]:
    """Return which files of the checkout git was told not to look at."""
    listed = await git.names("ls-files", "-v", "-z", "--", OURS)
    return {f"index flags of {shown(entry[2:])}": entry[0] for entry in listed if entry[0] != "H"}


async def _configuration(git: Git) -> tuple[dict[str, object], dict[str, object]]:
    """Return git's configuration: what others may change, and that of the repository."""
    fields = await git.names("config", "--list", "-z", "--show-scope")
    free, guarded = dict[str, object](), dict[str, object]()
    for scope, setting in zip(fields[::2], fields[1::2], strict=True):
        key, _, value = setting.partition("\n")
        is_ours = scope in {"local", "worktree"} and not FREE.fullmatch(key)
        if scope != "command":
            into = guarded if is_ours else free
            name = f"configuration {_without_secrets(key)}"
            into[name] = f"{into.get(name, '')}\0{key}\n{value}"
    return free, guarded


def _without_secrets(key: str) -> str:
    """Return the name of a setting; that of `url.https://TOKEN@host.insteadOf` is not for all."""
    section, _, rest = key.partition(".")
    middle, dot, last = rest.rpartition(".")
    return f"{section}.…{dot}{last}" if "://" in middle or "@" in middle else shown(key)


def _metadata(tree: Worktree) -> dict[str, object]:
    """Return what says where the worktree leads, and what the repository makes git do."""
    own, root = tree.git.git_dir or tree.place.path, tree.place.git.git_dir or tree.place.root
    common = tree.git.common or own
    named = {f"info/{name}": common / "info" / name for name in INFO}
    named |= {"the worktree's .git": tree.place.path / ".git"}
    named |= {f"the worktree's {name}": own / name for name in ("gitdir", "commondir")}
    named |= {"config.worktree of the checkout": root / "config.worktree"}
    hooks = common / "hooks"
    paths = hooks.iterdir() if hooks.is_dir() else ()
    named |= {f"hook {shown(path.name)}": path for path in paths}
    found: dict[str, object] = {name: _digest(path) for name, path in named.items()}
    return found | {"the worktree's folder": _identity(tree.path)}


def _identity(folder: Path) -> tuple[int, ...]:
    """Return what tells whether a folder was replaced, such as by a link to another one."""
    try:
        found = folder.lstat()
    except OSError:
        return ()
    return stat.S_IFMT(found.st_mode), found.st_dev, found.st_ino


def _digest(path: Path) -> str:
    try:
        mode = path.stat().st_mode
        return f"{mode:o} {sha256(read_file(path, MAX_BYTES)).hexdigest()}"
    except OSError as error:
        return f"{error.errno}"
