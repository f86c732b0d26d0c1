"""Submodules of a worktree, from what the checkout has of them already: no network is used."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
from anyio import to_thread

from guardkit.orchestrator.repository.git import LIMIT_CHECKOUT, Git, GitError, pin
from guardkit.orchestrator.repository.trees import GITLINK, entries, shown


async def fill(git: Git, repository: Path, config: Path) -> Sequence[str]:
    """Check submodules out in a worktree; return the paths of those that are not here.

    git: for the worktree, with its own index.
    repository: the checkout's, with the repositories of its submodules in `modules`.
    config: the file that says which of them are wanted there.
    Raises GitError.
    """
    links = [path for mode, _, path in await entries(git) if mode == GITLINK]
    missing = list[str]()
    names = await _names(git) if links else {}
    for path in links:
        name = names.get(path, "")
        inner = repository / "modules" / name
        if not name or not await to_thread.run_sync(_is_inside, repository, inner):
            missing.append(shown(path))
            continue
        try:
            url = await git.line("config", "--file", str(config), f"submodule.{name}.url")
            found = await _check_out(git, path, name, inner, url)
            deeper = await fill(found, inner, inner / "config")
            missing += [f"{shown(path)}/{each}" for each in deeper]
        except GitError:  # what it has to be is not here
            missing.append(shown(path))
    return missing


def told(missing: Sequence[str]) -> str:
    """Return what is to be told of submodules that are not here, "" where all are."""
    noun = "submodule" if len(missing) == 1 else "submodules"
    get = "`git submodule update --init --recursive` gets what is missing"
    return f", without {noun} {', '.join(missing)} ({get})" if missing else ""


async def _names(git: Git) -> dict[str, str]:
    """Return the names of submodules, by their paths."""
    if not await git.asks("cat-file", "-e", ":.gitmodules"):
        return {}
    listing = ("config", "-z", "--blob", ":.gitmodules", "--get-regexp", r"^submodule\..*\.path$")
    pairs = [entry.partition("\n") for entry in await git.names(*listing)]
    return {path: key[len("submodule.") : -len(".path")] for key, _, path in pairs}


def _is_inside(repository: Path, inner: Path) -> bool:
    """Return whether a submodule's repository is in that of the checkout: a name may lead out."""
    real = inner.resolve()
    return (real / "HEAD").is_file() and (repository / "modules").resolve() in real.parents


async def _check_out(git: Git, path: str, name: str, source: Path, url: str) -> Git:
    """Check a submodule out, cloned from a folder; return git on it; raises GitError."""
    own = (f"submodule.{name}.url={source}", f"submodule.{name}.active=true")
    local = msgspec.structs.replace(git, config=(*own, "protocol.file.allow=always"))
    update = ("submodule", "--quiet", "update", "--checkout", "--", path)
    await local.run(*update, limit=LIMIT_CHECKOUT)
    folder = git.folder / path
    found = await pin(Git(folder=folder, clock=git.clock, git_dir=folder / ".git"))
    await found.run("config", "remote.origin.url", url)  # as in the checkout
    await found.run("config", "--unset", "core.worktree")  # so that it can be moved, with the rest
    return found
