"""git, as it is run here: bounded in time, on one repository, whatever that has configured.

A repository may configure programs that git runs, and a Player may change where a folder's `.git`
leads. So the repository is named to git as soon as it is known, what would run something or change
what git says is turned off, and a filter that hangs is ended with all its children. They end at
once, too, when we are killed: what has left the process group of git then runs on, as it does
after every other end of git.
"""

import asyncio
import os
import re
import shutil
from collections.abc import Collection, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from shlex import quote
from subprocess import DEVNULL, Popen
from tempfile import TemporaryFile
from typing import IO

import anyio
import msgspec

from guardkit.clock import Clock
from guardkit.errors import WorkspaceError
from guardkit.orchestrator.processes.commands import plain
from guardkit.orchestrator.processes.environment import environment
from guardkit.orchestrator.repository.short import end, wait

LIMIT, LIMIT_CHECKOUT = 60.0, 600.0  # seconds that git may take, and to make a worktree
MAX_COMPLAINT = 2**16  # bytes of what git complains that are read
# git reads all worktrees for much that it does, and fails where one of them is just being made.
HALF_MADE = re.compile(r"failed to read .*/worktrees/[^/]+/commondir: ")
TRIES, PAUSE = 20, 0.05  # seconds
OPTIONS = (
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.untrackedCache=false"),
    *("-c", "core.splitIndex=false"),  # an index of our own is one file
    *("-c", "core.trustctime=true"),  # else a file may be changed back to its size and time
    *("-c", "core.checkStat=default"),
    *("-c", "core.ignoreStat=false"),  # else it takes all files for unchanged
    *("-c", "core.safecrlf=false"),  # it refuses files that `git add` would convert
    *("-c", "sparse.expectFilesOutsideOfPatterns=false"),  # else it does not see those
    *("-c", "i18n.commitEncoding=UTF-8"),
    *("-c", "safe.bareRepository=explicit"),  # one that lies in a folder is not taken for it
)
# A pipe that nobody writes to ends as we do. A shell costs half a millisecond, the watcher of
# agents fifty. Where the pipe cannot be opened, nobody is killed.
GUARD = '{ exec </dev/fd/"$0" && { read -r _; kill -KILL 0; }; } & exec "$@"'
BY_GIT = ("fatal: ", "error: ", "warning: ", "hint: ", "Preparing ", "HEAD is now ")
QUIET = {
    "GIT_OPTIONAL_LOCKS": "0",  # no lock is taken that the Player may want
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GPG_TTY": "",  # a program that signs finds no terminal to ask on
    "LC_ALL": "C",
}


class GitError(WorkspaceError):
    """git has failed; the text says where, and why."""


class Git(msgspec.Struct, frozen=True, kw_only=True):
    """git on one folder.

    folder: that of the checkout or the worktree.
    clock: by which it is bounded.
    git_dir: that of the folder; None: as git finds it from there.
    common: that of the repository, where it is another one than `git_dir`: a linked worktree's.
    index: the file that stands in for the index of `git_dir`; None: that itself.
    config: more of git's configuration, as `name=value`.
    """

    folder: Path
    clock: Clock
    git_dir: Path | None = None
    common: Path | None = None
    index: Path | None = None
    config: tuple[str, ...] = ()

    async def run(
        self,
        *arguments: str,
        stdin: bytes = b"",
        limit: float = LIMIT,
        fine: Collection[int] = (0,),
    ) -> str:
        """Return what git prints.

        stdin: what it is given to read.
        limit: seconds that it may take; then it is ended, with all that it has started.
        fine: the exit codes with which it has not failed.
        Raises GitError.
        """
        for _ in range(TRIES):
            try:
                return await self._run(arguments, stdin, limit, fine)
            except GitError as error:
                if not HALF_MADE.search(str(error)):
                    raise
            await self.clock.sleep(PAUSE)
        return await self._run(arguments, stdin, limit, fine)

    async def _run(
        self, arguments: tuple[str, ...], stdin: bytes, limit: float, fine: Collection[int]
    ) -> str:
        # Files, not pipes: one who has left the process group may hold those open for ever.
        with (
            _holding(stdin) as given,
            TemporaryFile() as out,
            TemporaryFile() as err,
        ):
            process, control = self._start(arguments, given, out, err)
            try:
                if not await self._ends(process, limit):
                    what = f"git {arguments[0]} did not end within {limit:g} s in {self._where}"
                    raise GitError(what)
            finally:
                end(process)
                os.close(control)
            err.seek(0)
            if process.returncode not in fine:
                raise self._explain(err.read(MAX_COMPLAINT).decode(errors="replace"))
            out.seek(0)
            return out.read().decode(errors="surrogateescape")

    async def names(self, *arguments: str, limit: float = LIMIT) -> list[str]:
        """Return what git prints as a list, each of it ended by a NUL; raises as `run`."""
        return (await self.run(*arguments, limit=limit)).split("\0")[:-1]

    async def line(self, *arguments: str) -> str:
        """Return the one line that git prints; raises as `run`."""
        return (await self.run(*arguments)).removesuffix("\n")

    async def asks(self, *arguments: str) -> bool:
        """Return whether git does not fail: for commands that answer by their exit code."""
        with suppress(GitError):
            await self.run(*arguments)
            return True
        return False

    @property
    def shared(self) -> "Git":
        """This for the repository itself: for branches and refs.

        Where those are, git takes from the file `commondir` of a linked worktree, whatever it is
        told; a Player can write that.
        """
        return msgspec.structs.replace(self, git_dir=self.common or self.git_dir, common=None)

    @property
    def _where(self) -> str:
        return plain(os.fsencode(self.folder).decode(errors="replace").replace("\n", " "))

    async def _ends(self, process: Popen[bytes], limit: float) -> bool:
        """Return whether a process ends within its limit."""
        alarm = asyncio.ensure_future(self.clock.sleep(limit))
        work = asyncio.ensure_future(wait(process))
        try:
            with self.clock.busy():
                await asyncio.wait({work, alarm}, return_when=asyncio.FIRST_COMPLETED)
            return work.done()
        finally:
            alarm.cancel()
            work.cancel()

    def _start(
        self, arguments: tuple[str, ...], given: IO[bytes] | int, out: IO[bytes], err: IO[bytes]
    ) -> tuple[Popen[bytes], int]:
        """Return git, and the descriptor at whose end git, and all in its group, is killed."""
        env = environment(self._own())
        more = (word for setting in self.config for word in ("-c", setting))
        program = shutil.which("git", path=env.get("PATH"))
        if not program:
            raise GitError(f"git cannot be run in {self._where}, is it installed?")
        command = (program, *OPTIONS, *more, *arguments)
        theirs, ours = os.pipe()
        try:
            process = Popen(
                ("/bin/sh", "-c", GUARD, str(theirs), *command),
                cwd=self.folder,
                env=env,
                stdin=given,
                stdout=out,
                stderr=err,
                pass_fds=(theirs,),
                start_new_session=True,
            )
        except OSError as error:
            os.close(ours)
            if not self.folder.is_dir():
                raise GitError(f"the folder {self._where} is gone") from error
            raise GitError(f"git cannot be run in {self._where}: {error}") from error
        finally:
            os.close(theirs)
        return process, ours

    def _own(self) -> dict[str, str]:
        """Return what git is told by its environment."""
        own = dict(QUIET)
        if self.git_dir:
            own |= {"GIT_DIR": str(self.git_dir), "GIT_WORK_TREE": str(self.folder)}
        if self.common:
            own["GIT_COMMON_DIR"] = str(self.common)
        if self.index:
            own["GIT_INDEX_FILE"] = str(self.index)
        return own

    def _explain(self, said: str) -> GitError:
        lines = [line.strip() for line in plain(said).splitlines() if line.strip()]
        if "dubious ownership" in said:
            remedy = f"git config --global --add safe.directory {quote(str(self.folder))}"
            own = [line for line in lines if line.startswith("git config --global --add safe.")]
            what = f"{self._where} belongs to somebody else; if you trust it: "
            return GitError(what + (own or [remedy])[-1])
        fatal = [line for line in lines if line.startswith(("fatal: ", "error: "))]
        reason = (fatal or lines or ["it does not say why"])[-1]
        reason = reason.removeprefix("fatal: ").removeprefix("error: ")
        if "filter" in reason or "hung up" in reason:  # what a filter has to say, it says itself
            own = [line for line in lines if not line.startswith(BY_GIT)]
            reason = ": ".join((*own[-1:], reason))
        reason += "; git init makes one" * ("not a git repository (or any" in reason)
        return GitError(f"git fails in {self._where}: {reason}")


@contextmanager
def _holding(text: bytes) -> Generator[IO[bytes] | int]:
    """Yield what is read as a text."""
    if not text:
        yield DEVNULL
        return
    with TemporaryFile() as file:
        file.write(text)
        file.seek(0)
        yield file


async def pin(git: Git) -> Git:
    """Return git on the repository that it finds now, whatever becomes of the folder's `.git`.

    Raises GitError.
    """
    git_dir = Path(await git.line("rev-parse", "--absolute-git-dir"))
    common = await git.line("rev-parse", "--git-common-dir")
    found = await anyio.Path(git.folder, common).resolve()
    is_shared = found != await anyio.Path(git_dir).resolve()
    return msgspec.structs.replace(git, git_dir=git_dir, common=Path(found) if is_shared else None)
