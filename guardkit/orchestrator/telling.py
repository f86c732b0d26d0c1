"""What the agents of a build are told, turn by turn."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from secrets import token_hex

from guardkit.orchestrator.findings import CoachTurn
from guardkit.orchestrator.handed import MAX_ISSUES
from guardkit.orchestrator.phrases import many
from guardkit.orchestrator.prompts import Prompts
from guardkit.orchestrator.tasks import Task
from guardkit.progress.folder import read_file

TASK_MAX = 2**22  # bytes of a task file that are read; a prompt that is too long says so itself
PATCH_MAX = 2**18  # characters of a diff that are told
TAIL_MAX = 4000  # characters of the tests' output


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """What agents are told of a task.

    prompts: the texts.
    test: the command that tests.
    found: what an earlier run has left in the worktree, in words.
    fence: what no task can know: the lines around it hold it.
    """

    task: Task
    prompts: Prompts
    test: str
    turn_max: int
    found: str = ""
    fence: str = field(default_factory=partial(token_hex, 4))

    def player(self, number: int, taken: Sequence[CoachTurn]) -> str:
        """Return what the Player is told; taken: the turns before this one."""
        last = taken[-1] if taken else None
        knows = last and last.validation_results.player.session
        fields = {
            **self._fields(number),
            "feedback": feedback(last) if last else "",
            "before": f"# What is there already\n\n{self.found}\n\n" if self.found else "",
        }
        return self.prompts.fill("again" if knows else "player", fields)

    def coach(self, judged: CoachTurn, patch: str) -> str:
        """Return what a judging Coach is told of a turn; patch: the diff."""
        report = judged.validation_results.report
        tests = f"{many(report.passed, 'test')} passed" if report else ""
        if len(patch) > PATCH_MAX:
            patch = f"{patch[:PATCH_MAX]}\n[… the rest is in the files …]"
        return self.prompts.fill(
            "coach", {**self._fields(judged.turn), "tests": tests, "diff": patch}
        )

    def _fields(self, number: int) -> dict[str, str]:
        try:
            text = read_file(self.task.path, TASK_MAX).decode(errors="replace")
        except OSError:  # it was moved meanwhile
            text = self.task.title
        return {
            "id": self.task.id,
            "title": self.task.title,
            "task": text.strip(),
            "fence": self.fence,
            "test": self.test,
            "turn": str(number),
            "turn_max": str(self.turn_max),
        }


def feedback(last: CoachTurn) -> str:
    """Return what a Player is told of its last turn."""
    issues = [f"- {issue}" for issue in last.issues[:MAX_ISSUES]]
    found = last.validation_results
    tail = (found.tests or found.player).tail[-TAIL_MAX:]
    output = (
        f"\n\nThe end of what the tests have written:\n\n{tail}" if found.tests and tail else ""
    )
    listed = "\n".join(issues) or f"- {last.rationale}"
    return f"# What the Coach found in turn {last.turn}\n\n{listed}{output}"
