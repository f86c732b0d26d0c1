"""How a turn's tests are run, and what is found out of what they have come to."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from msgspec.structs import replace

from guardkit.orchestrator.documents import Documents
from guardkit.orchestrator.findings import Findings
from guardkit.orchestrator.processes.commands import Seat, run_command
from guardkit.orchestrator.proof.caches import clear_caches
from guardkit.orchestrator.proof.imported import Imported, State, read_told, search_path, summarise
from guardkit.orchestrator.proof.loose import with_loose
from guardkit.orchestrator.proof.runners import JUNIT
from guardkit.orchestrator.proof.weaker import find_weaker
from guardkit.orchestrator.repository.apart import find_apart
from guardkit.orchestrator.repository.kept import keep
from guardkit.orchestrator.repository.trees import compare, write_tree
from guardkit.orchestrator.repository.workspace import Worktree


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """The tests of a build.

    test: the command. scratch: a folder of our own, outside of the repository.
    """

    tree: Worktree
    test: str
    documents: Documents
    scratch: Path

    async def run(
        self, number: int, found: Findings, seat: Seat, made: Mapping[str, State]
    ) -> Findings:
        """Run the tests of a turn, and read their report, whatever their exit code.

        found: what the Player has come to. seat: in which they run.
        made: code that tests before have made.
        Raises GitError.
        """
        tree = self.tree
        since, in_the_way = await self.documents.make_room(number)
        told = self.scratch / f"imported-{number}"
        told.touch(mode=0o600)
        path = self.scratch / "nowhere" if in_the_way else self.documents.report(number)
        env = search_path(tree.path, told=told, below=tree.place.root)
        seat = dataclasses.replace(seat, env={**seat.env, **env})
        cached = await clear_caches(tree.git, tree.index, seat.env)
        tests = await run_command(self.test.replace(JUNIT, quote(str(path))), seat)
        report, trouble = await self.documents.read(number, since)
        if in_the_way:
            report, trouble = None, f"an old report cannot be removed: {in_the_way}"
        skipped = report.skipped if report else 0
        weaker = await find_weaker(
            tree.git, tree.baseline, found.tree, found.changes, skipped=skipped
        )
        after = await write_tree(tree.git, tree.index, {})
        await keep(tree.git, tree.path.name, f"after-{number}", after)
        touched = await compare(tree.git, found.after, after)
        return replace(
            found,
            tests=tests,
            report=report,
            trouble=trouble,
            imported=await self._imported(told, found, made, since),
            apart=await find_apart(tree.git, tree.index, tree.inner),
            weaker=weaker,
            after=after,
            spoiled=sorted(path for path, kind in touched.items() if kind != "A"),
            cached=cached,
        )

    async def _imported(
        self, file: Path, found: Findings, made: Mapping[str, State], since: int
    ) -> Imported | None:
        """Return what the probe has told in a file, None where it has told nothing."""
        told, tree = read_told(file), self.tree
        if told is None:
            return None
        imported = summarise(told, tree.path, tree.place.root)
        return await with_loose(imported, told, tree, found.tree, made=made, since=since)
