"""How tasks are built, as `autobuild task` and `autobuild feature` are told alike."""

from __future__ import annotations

from math import inf

from guardkit.cli import codes
from guardkit.cli.sinks import publishing, tracing
from guardkit.cli.values import at_least, one_of

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any, TypedDict, TypeVar

    from guardkit.cli.parser import Parser
    from guardkit.orchestrator.agents.command_lines import Permissions
    from guardkit.orchestrator.autobuild import AutoBuildOrchestrator

    T = TypeVar("T")

    class How(TypedDict):
        """What the options say that both commands take."""

        player: str
        coach: str
        test: str | None
        max_turns: int
        player_timeout: float
        test_timeout: float
        phase_budget: float
        turn_budget: float
        build_budget: float
        max_cost: float
        permissions: Permissions
        prompts: str | None
        resume: bool
        root: str
        nats: str | None
        project: str | None
        nats_envelope: bool
        traces: bool


def declare_how(command: Parser) -> None:
    """Declare the options that say how a task is built."""
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


def declare_ways(command: Parser) -> None:
    """Declare the options that say what is done instead of waiting for the build's end."""
    about = "Say what would be run, and whether anything speaks against it; write nothing."
    command.add_flag("--dry-run", about=about)
    about = "Return when the build has begun, and print the run's id for wait --run."
    command.add_flag("--detach", about=about)


def builder(how: How) -> AutoBuildOrchestrator:
    """Return what builds a task so; raises MisuseError."""
    from pathlib import Path

    from guardkit.orchestrator.autobuild import AutoBuildOrchestrator
    from guardkit.orchestrator.budgets import Budgets
    from guardkit.orchestrator.proof.runners import DEFAULT_TEST

    return AutoBuildOrchestrator(
        how["root"],
        player=how["player"],
        coach=how["coach"],
        test=how["test"] or DEFAULT_TEST,
        max_turns=how["max_turns"],
        budgets=Budgets(
            player=how["player_timeout"],
            tests=how["test_timeout"],
            phase=how["phase_budget"],
            turn=how["turn_budget"],
            build=how["build_budget"],
            cost=how["max_cost"],
        ),
        permissions=how["permissions"],
        prompts=Path(how["prompts"]) if how["prompts"] else None,
        resume=how["resume"],
        sinks=publishing(how["nats"], how["project"], envelope=how["nats_envelope"]),
    )


def traced(builder: AutoBuildOrchestrator, *, wanted: bool) -> AutoBuildOrchestrator:
    """Return what builds so, and makes traces where somebody asks for them; raises TracesError."""
    from dataclasses import replace

    if sink := tracing(wanted=wanted):
        return replace(builder, sinks=[*builder.sinks, sink], handed_on=sink.environment)
    return builder


def tell(plan: Coroutine[Any, Any, T], lines: Callable[[T], list[str]]) -> int:
    """Print what a build would do; raise what it would be refused with."""
    from guardkit.cli.signals import until_signal

    found = until_signal(plan)
    if found is None:
        return codes.STOPPED
    print("\n".join(lines(found)))
    return codes.COMPLETED
