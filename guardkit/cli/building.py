"""The commands that build: autobuild and demo."""

from __future__ import annotations

from math import inf

from guardkit.cli import codes, ending, showing
from guardkit.cli.foreground import build
from guardkit.cli.sinks import publishing, tracing
from guardkit.cli.values import at_least, guarded, one_of

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from guardkit.cli.parser import Commands, Parser
    from guardkit.orchestrator.agents.command_lines import Permissions
    from guardkit.orchestrator.autobuild import AutoBuildOrchestrator

GROUP = """Run builds: a Player writes, a Coach validates.

A build runs for minutes to hours. In a shell that shows a command's output only when the command
has ended, start it with --detach, and look with guardkit wait, status or watch.
"""


def add_commands(commands: Commands) -> None:
    """Declare the commands."""
    commands.add("demo", showing.demo, showing.declare_demo)
    commands.add_group("autobuild", GROUP, _add_builds)
    commands.add("cancel", ending.cancel, ending.declare_cancel)


def _add_builds(group: Commands) -> None:
    group.add("task", build_task, _declare_task)
    group.add("replay", showing.replay, showing.declare_replay)
    group.add("drop", ending.drop, ending.declare_drop)


def _declare_task(command: Parser) -> None:
    about = "The id that stands in the task's file."
    command.add_argument("task_id", type=guarded, metavar="TASK-ID", help=about)
    about = "The Player, who writes, once a turn: claude or codex, with further words of theirs; "
    about += "acp:COMMAND for an agent that speaks ACP; or any command."
    command.add_argument("--player", required=True, metavar="AGENT", help=about)
    about = (
        "A judging Coach on top of the tests, as for --player; by default the tests alone judge."
    )
    command.add_argument("--coach", default="", metavar="AGENT", help=about)
    about = "The tests; {junit} stands for their report's path. By default pytest."
    command.add_argument("--test", metavar="COMMAND", help=about)
    about = "How many turns there may be; by default %(default)d."
    command.add_argument("--max-turns", type=at_least(1), default=5, metavar="N", help=about)
    _declare_budgets(command)
    about = "What agents may do: worktree, the default, to write there and to run commands; "
    about += "ask-nothing, whatever they like."
    allowed = one_of("worktree", "ask-nothing")
    command.add_argument(
        "--permissions", type=allowed, default="worktree", metavar="WHAT", help=about
    )
    about = "A folder whose player.md, again.md and coach.md replace what agents are told."
    command.add_argument("--prompts", metavar="DIR", help=about)
    about = "Go on in the worktree of an earlier run, after its last complete turn."
    command.add_flag("--resume", about=about)
    about = "Say what would be run, and whether anything speaks against it; write nothing."
    command.add_flag("--dry-run", about=about)
    about = "Return when the build has begun, and print the run's id for wait --run."
    command.add_flag("--detach", about=about)
    command.add_root()
    command.add_nats(about="Publish the build to a NATS server.")
    command.add_project()
    about = "Publish it in the messages of nats-core as well."
    command.add_flag("--nats-envelope", about=about)
    about = "Send traces to an OTLP receiver, as the OTEL_* variables say; by default where "
    command.add_flag("--traces", about=about + "OTEL_EXPORTER_OTLP_ENDPOINT is set.")


def _declare_budgets(command: Parser) -> None:
    about = "How long the Player may take, each time, as 90, 90s, 2m or 1h; by default 1h."
    command.add_duration("--player-timeout", default=3600.0, least=0.001, about=about)
    about = "How long the tests may take, each time; by default 10m."
    command.add_duration("--test-timeout", default=600.0, least=0.001, about=about)
    for name, what in (("phase", "any phase"), ("turn", "a turn"), ("build", "the whole build")):
        about = f"How long {what} may take; by default as long as it takes."
        command.add_duration(f"--{name}-budget", default=inf, least=0.001, about=about)
    about = (
        "What the agents may cost, in US dollars, over all runs of the task; by default anything."
    )
    command.add_argument("--max-cost", type=at_least(0.0), default=inf, metavar="USD", help=about)


def build_task(
    *,
    task_id: str,
    player: str,
    coach: str,
    test: str | None,
    max_turns: int,
    player_timeout: float,
    test_timeout: float,
    phase_budget: float,
    turn_budget: float,
    build_budget: float,
    max_cost: float,
    permissions: Permissions,
    prompts: str | None,
    resume: bool,
    dry_run: bool,
    detach: bool,
    root: str,
    nats: str | None,
    project: str | None,
    nats_envelope: bool,
    traces: bool,
) -> int:
    """Build one task, turn by turn, in a git worktree of its own.

    With --detach the command returns when the build is on disk, and prints the run's id, or it
    returns with the refusal and its exit code. What the build prints goes to output.log beside
    its journal, in .guardkit/autobuild/TASK-ID; guardkit wait --help says how to wait for it.

    Exit codes: 0 completed; 1 failed; 2 usage, or no such task; 3 cancelled; 7 could not be done,
    such as a task that is being built already.
    """
    from dataclasses import replace
    from pathlib import Path

    from guardkit.orchestrator.autobuild import AutoBuildOrchestrator
    from guardkit.orchestrator.budgets import Budgets
    from guardkit.orchestrator.runners import DEFAULT_TEST

    orchestrator = AutoBuildOrchestrator(
        root,
        player=player,
        coach=coach,
        test=test or DEFAULT_TEST,
        max_turns=max_turns,
        budgets=Budgets(
            player=player_timeout,
            tests=test_timeout,
            phase=phase_budget,
            turn=turn_budget,
            build=build_budget,
            cost=max_cost,
        ),
        permissions=permissions,
        prompts=Path(prompts) if prompts else None,
        resume=resume,
        sinks=publishing(nats, project, envelope=nats_envelope),
    )
    if dry_run:
        return _tell_plan(orchestrator, task_id)
    if sink := tracing(wanted=traces):
        sinks = [*orchestrator.sinks, sink]
        orchestrator = replace(orchestrator, sinks=sinks, handed_on=sink.environment)
    if not detach:
        return build(orchestrator, task_id)
    from guardkit.cli.background import start

    return start(lambda writer: build(orchestrator, task_id, writer))


def _tell_plan(orchestrator: AutoBuildOrchestrator, task_id: str) -> int:
    """Print what a build would do; raise what it would be refused with."""
    from guardkit.cli.signals import until_signal
    from guardkit.cli.told import planned

    plan = until_signal(orchestrator.plan(task_id, alone=True))
    if plan is None:
        return codes.STOPPED
    print("\n".join(planned(orchestrator, plan)))
    return codes.COMPLETED
