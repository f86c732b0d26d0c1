"""What a worktree is at an instant, as a tree of git's, and what differs between two of them.

Trees are made with an index of our own: no flag in the worktree's index can hide a file from it.
"""

import os
import re
import shutil
import stat
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from anyio import to_thread
from msgspec.structs import replace

from guardkit.orchestrator.repository.git import LIMIT, LIMIT_CHECKOUT, Git, GitError

OURS = ":!.guardkit"
CACHE = "__pycache__/"
CACHES = ("-x", CACHE)
NO_INDEX = Path("/nonexistent/index")  # git reads it, and the Player's may be broken
GITLINK = "160000"  # the mode of a submodule
RECORDED = (stat.S_IFREG, stat.S_IFLNK, stat.S_IFDIR)  # kinds of files that git can tell of

HUNK = re.compile(r"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")

Changes = Mapping[str, str]  # by path: "A" for created, "M" modified, "D" deleted


async def first_tree(git: Git, index: Path) -> str:
    """Return the tree that a worktree is right after it was made; raises GitError.

    index: our own, which is made from the one that git has written.
    Whatever it holds is compared by its content: of a file that filters and attributes make look
    modified, git would tell only when somebody has touched it.
    """
    made = (await to_thread.run_sync(os.stat, index)).st_mtime_ns
    await to_thread.run_sync(os.utime, index, (1, 1))  # older than all that it tells of
    tree = await make_tree(replace(git, index=index), limit=LIMIT_CHECKOUT)
    if (await to_thread.run_sync(os.stat, index)).st_mtime == 1:
        await to_thread.run_sync(partial(os.utime, index, ns=(made, made)))
    return tree


async def copy_index(source: Path, to: Path) -> None:
    """Copy an index with its time, without which git misses changes of the same second."""
    await to_thread.run_sync(shutil.copy2, source, to)


async def write_tree(git: Git, baseline: Path, litter: Mapping[str, str]) -> str:
    """Return the tree that a worktree is now, less the litter of tests; raises GitError.

    git: for the worktree, with the index that the Player has.
    baseline: the index from which it is measured; it stays as it is.
    litter: the object that tests have left at a path. What the Player has made of it since counts.
    """
    index = baseline.with_name(f"{baseline.name}.now")
    await copy_index(baseline, index)
    added = list[str]()
    with suppress(GitError):  # the Player's index may be broken: then it has added nothing
        listed = await entries(git)
        added = [path for mode, _, path in listed if mode != GITLINK and CACHE not in path]
    return await make_tree(replace(git, index=index), litter, added=added)


async def make_tree(
    git: Git,
    litter: Mapping[str, str] | None = None,
    *,
    added: Collection[str] = (),
    limit: float = LIMIT,
) -> str:
    """Return the tree of a worktree, by its index `git.index`, which is brought up to date.

    added: paths that belong to it, though they may be ignored, as after `git add --force`.
    """
    changed = await git.names("ls-files", "-z", "-m", "-d", "--", OURS, limit=limit)
    files = [path for path in await others(git) if not path.endswith("/")]
    if added:
        files += set(added).difference({path for _, _, path in await entries(git)}, files)
    gone = await to_thread.run_sync(_find_gone, git.folder, [*changed, *files])
    await _update(git, "--force-remove", files=gone.intersection(changed), limit=limit)
    there = [path for path in (*changed, *files) if path not in gone]
    await _update(git, "--add", "--replace", "--remove", files=there, limit=limit)
    if litter := {path: name for path, name in (litter or {}).items() if path not in {*added}}:
        objects = {path: name for _, name, path in await entries(git)}
        left = [path for path, name in litter.items() if objects.get(path) == name]
        await _update(git, "--force-remove", files=left)
    return (await git.run("write-tree")).strip()


async def others(git: Git) -> list[str]:
    """Return what git is neither told of nor to ignore; a repository ends with a slash."""
    return await git.names("ls-files", "-z", "-o", "--exclude-standard", *CACHES, "--", OURS)


async def entries(git: Git) -> list[tuple[str, str, str]]:
    """Return the mode, the object and the path of all that an index holds."""
    listed = (line.partition("\t") for line in await git.names("ls-files", "-z", "-s", "--", OURS))
    heads = ((head.split(), path) for head, _, path in listed)
    return [(words[0], words[1], path) for words, path in heads]


def _find_gone(folder: Path, paths: Collection[str]) -> set[str]:
    """Return those paths at which there is no file of git's: what lies beyond a link is another."""
    links = dict[str, bool]()

    def is_gone(path: str) -> bool:
        for end, letter in enumerate(path):
            if letter == "/":
                above = path[:end]
                if above not in links:
                    links[above] = (folder / above).is_symlink()
                if links[above]:
                    return True
        try:
            return stat.S_IFMT(os.lstat(folder / path).st_mode) not in RECORDED
        except OSError:
            return True

    return {path for path in paths if is_gone(path)}


async def _update(git: Git, *how: str, files: Collection[str], limit: float = LIMIT) -> None:
    if files:
        listed = "".join(f"{path}\0" for path in dict.fromkeys(files))
        text = listed.encode(errors="surrogateescape")
        await git.run("update-index", *how, "-z", "--stdin", stdin=text, limit=limit)


async def without(git: Git, index: Path, before: str, baseline: str, tree: str) -> str:
    """Return a tree, but as in `before` where all that differs is how the baseline came to be.

    index: where an index may be made for that.
    before: the tree that was checked out. baseline: what that looked like in the worktree.
    Raises GitError.
    """
    fresh, since = await _raw(git, before, baseline), await compare(git, baseline, tree)
    back = [(head, path) for head, path in fresh if shown(path) not in since]
    if not back:
        return tree
    words = [(head.removeprefix(":").split(), path) for head, path in back]
    lines = "".join(f"{head[0]} {head[2]}\t{path}\0" for head, path in words)
    git = replace(git, index=index)
    await git.run("read-tree", tree)
    text = lines.encode(errors="surrogateescape")
    await git.run("update-index", "-z", "--index-info", stdin=text)
    return (await git.run("write-tree")).strip()


async def _raw(git: Git, before: str, after: str, *more: str) -> list[tuple[str, str]]:
    """Return what differs between two trees, as `:mode mode object object letter`, and its path."""
    fields = await _differ(git, *more, before, after)
    return list(zip(fields[::2], fields[1::2], strict=True))


async def _differ(git: Git, *words: str) -> list[str]:
    git = replace(git, index=NO_INDEX)
    return await git.names("diff-tree", "-r", "-z", "--no-renames", *words)


async def compare(git: Git, before: str, after: str) -> Changes:
    """Return what differs between two trees; raises GitError."""
    return _changes(await _differ(git, "--name-status", before, after))


def _changes(fields: Sequence[str]) -> Changes:
    pairs = zip(fields[1::2], fields[::2], strict=True)
    return {shown(path): letter if letter in "AD" else "M" for path, letter in pairs}


async def objects(git: Git, tree: str) -> list[tuple[str, str]]:
    """Return the paths of a tree, as they are told, and the object of each; raises GitError."""
    listed = await git.names("ls-tree", "-r", "-z", tree)
    pairs = (line.partition("\t") for line in listed)
    return [(shown(path), head.split()[2]) for head, _, path in pairs]


async def read_patch(git: Git, before: str, after: str) -> str:
    """Return what differs between two trees, as a diff; raises GitError."""
    words = ("-p", "--no-ext-diff", "--no-textconv", "--no-color", before, after)
    text = await replace(git, index=NO_INDEX).run("diff-tree", "-r", *words)
    return shown(text)


async def read_lines(git: Git, before: str, after: str) -> list[tuple[str, str]]:
    """Return the lines that were added (`+`) and removed (`-`) between two trees, by their path.

    Raises GitError.
    """
    words = ("-p", "-U0", "--no-ext-diff", "--no-textconv", "--no-color", before, after)
    git = replace(git, index=NO_INDEX, config=(*git.config, "core.quotePath=false"))
    text = await git.run("diff-tree", "-r", "--no-renames", *words)
    path, left, found = "", 0, list[tuple[str, str]]()
    for line in text.split("\n"):
        if left and line[:1] in {"+", "-"}:
            found.append((shown(path), line))
            left -= 1
        elif hunk := HUNK.match(line):
            left = sum(int(number or 1) for number in hunk.groups())
        elif line.startswith(("--- a/", "+++ b/")):
            path = line[6:].rstrip("\t")
    return found


async def find_litter(git: Git, before: str, after: str) -> dict[str, str]:
    """Return what tests have left: the new paths of the tree after them, and the object of each.

    before: the tree that was tested.
    """
    found = await _raw(git, before, after, "--diff-filter=A")
    return {path: head.split()[3] for head, path in found}


async def look(git: Git, *, index: Path | None = None) -> Changes:
    """Return what has changed in a folder, at a glance: no lock is taken, and little is read.

    index: against which it is held; None: against the repository's own.
    Raises GitError.
    """
    git = replace(git, index=index or git.index)
    new = await others(git)
    fields = await git.names("diff-files", "-z", "--no-renames", "--name-status", "--", OURS)
    return {**_changes(fields), **dict.fromkeys(map(shown, new), "A")}


def of_kind(letter: str, changes: Changes) -> list[str]:
    """Return the paths that were created ("A"), modified ("M") or deleted ("D"), sorted."""
    return sorted(path for path, kind in changes.items() if kind == letter)


def shown(path: str) -> str:
    """Return a path as it is told: what is no UTF-8 of it is replaced."""
    return path.encode(errors="surrogateescape").decode(errors="replace")
