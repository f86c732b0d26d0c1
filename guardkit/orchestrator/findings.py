"""What a turn has come to: what was found out of it, and what the Coach has made of that."""

from collections.abc import Sequence

import msgspec

from guardkit.orchestrator.processes.commands import CommandResult
from guardkit.orchestrator.proof.imported import Imported
from guardkit.orchestrator.proof.junit import Report
from guardkit.orchestrator.repository.trees import Changes

NO_REPORT = "left no report"


class Findings(msgspec.Struct, frozen=True):
    """What a turn has come to.

    changes: by path, of the tree `tree` against what the worktree was right after it was made.
    outside: what has changed outside the worktree meanwhile, by whomever.
    player, tests: how the commands ended; `tests` is None where the Player has failed.
    report: what the tests' report says, None where there is none that can be read;
    trouble: then why.
    tree: what was tested, as git names it.
    refused: what of the repository has changed that would change what git says of this task.
    imported: which code the tests have run, None where nothing tells.
    apart: what is in the worktree, and is no part of the tree that was tested.
    weaker: why passing tests prove nothing of these changes, "" where they may.
    own: what the Player itself has changed in this turn.
    after: all that was in the worktree in the end, as git names it.
    spoiled: what the tests have changed or deleted of it.
    startable: whether the tests can be started without these changes, where they left no report.
    cached: caches that could not be removed before the tests, which may have run them.
    """

    changes: Changes
    outside: Sequence[str]
    player: CommandResult
    tests: CommandResult | None = None
    report: Report | None = None
    trouble: str = ""
    tree: str = ""
    refused: Sequence[str] = ()
    imported: Imported | None = None
    apart: Sequence[str] = ()
    weaker: str = ""
    own: Sequence[str] = ()
    after: str = ""
    spoiled: Sequence[str] = ()
    startable: bool = False
    cached: Sequence[str] = ()


class CoachTurn(msgspec.Struct, frozen=True):
    """What the Coach writes: approve, feedback or error, why in one line, and all that is amiss."""

    task_id: str
    turn: int
    decision: str
    rationale: str
    issues: Sequence[str]
    validation_results: Findings
    criteria_verification: Sequence[str] = ()
