"""The commands that look at builds: status, wait and schema; watch and log by their modules.

A command imports what needs an event loop or a live terminal itself: the others start at once.
"""

from __future__ import annotations

from guardkit.cli import codes, journal, values, watching
from guardkit.cli.finder import find
from guardkit.cli.streams import print_states
from guardkit.errors import MisuseError, ProgressNotFoundError

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardkit.cli.parser import Commands, Parser
    from guardkit.places.wait import Answer, Until

RUN_OR_NEXT = (
    "--run names a run that has begun, --next one that has not: give one of them; see guardkit "
    "wait --help"
)


def add_commands(commands: Commands) -> None:
    """Declare the commands."""
    commands.add("status", status, _declare_status)
    commands.add("watch", watching.watch, watching.declare)
    commands.add("wait", wait, _declare_wait)
    commands.add("log", journal.log, journal.declare_log)
    commands.add("schema", schema, lambda _: None)


def _declare_status(command: Parser) -> None:
    command.add_ids()
    command.add_flag("--json", about="Print a list in JSON.")
    command.add_place(stalls=True)


def _declare_wait(command: Parser) -> None:
    from guardkit.places.until import UNTIL

    command.add_ids(least=1)
    about = "What ends the wait: done, the default, when all have ended; change, when the first "
    about += "changes its turn, phase or state; trouble, when the first needs you."
    read = values.one_of(*UNTIL)
    command.add_argument("--until", type=read, default="done", metavar="WHEN", help=about)
    about = "Wait for this run, which --detach has printed, whatever has become of it; by default "
    about += "for the latest one, and not for one that has ended."
    command.add_argument("--run", type=values.run_id, metavar="RUN", help=about)
    about = "Wait for a run that has not ended or crashed yet, and for it to begin, where somebody "
    about += "else starts it; give a --timeout, as the start may be refused."
    command.add_argument("--next", dest="afresh", action="store_true", help=about)
    command.add_duration("--timeout", about="Wait so long at most, as 90, 90s, 2m or 1h.")
    command.add_flag("--json", about="Print a list in JSON, as status does.")
    command.add_place(stalls=True)


def status(
    *,
    ids: list[str],
    json: bool,
    stall_after: float,
    root: str,
    nats: str | None,
    project: str | None,
) -> int:
    """Take one look at builds.

    The exit code tells how they are, of several the worst: 0 completed, or running; 1 failed;
    3 cancelled; 4 crashed or lost; 5 unresponsive, overdue or stalled; 6 no such build; 7 could
    not be seen.
    """
    here = find(root, nats, project, stall_after=stall_after)
    looks = here.look(ids)
    found = [*here.find_missing(ids, looks), *(codes.of_verdict(each.verdict) for each in looks)]
    if json:
        from guardkit.places.records import encode_looks

        print(encode_looks(looks))
    elif looks:
        from guardkit.places.below import is_feature, lines_below
        from guardkit.places.order import natural
        from guardkit.places.words import status_lines

        answers = here.answers(looks[0]) if len(looks) == 1 else ()
        shown = looks if ids else sorted(looks, key=lambda look: natural(look.task_id))
        lines = status_lines(shown, _now(), answers)
        if len(ids) == 1 and is_feature(looks[0]):
            lines += lines_below(looks[0], here.look(), _now())
        print_states(lines)
    if not found:
        raise ProgressNotFoundError(f"no build is known {here.name}")
    return codes.worst(found)


def wait(
    *,
    ids: list[str],
    until: Until,
    run: str | None,
    afresh: bool,
    json: bool,
    timeout: float | None,
    stall_after: float,
    root: str,
    nats: str | None,
    project: str | None,
) -> int:
    """Block until builds are done, one changes or one needs you.

    It prints one line a build, and tells by its exit code how they are: as status does, but 8 for
    a build that runs, and 124 when the time is up. It returns in any case when nothing more can
    come of them. Who starts a build can neither miss it nor wait for one whose start was refused:

    $ RUN=$(guardkit autobuild task ID --player COMMAND --detach) &&
      guardkit wait ID --run "$RUN" --timeout 1h
    """
    from guardkit.cli.signals import until_signal
    from guardkit.places.wait import Wanted, wait

    if run and (afresh or len({*ids}) > 1):
        raise MisuseError(RUN_OR_NEXT if afresh else "--run is of one task: give a single ID")
    wanted = Wanted([*dict.fromkeys(ids)], until, run, afresh)
    here = find(root, nats, project, stall_after=stall_after)
    answer = until_signal(wait(here.builds, wanted, limit=timeout))
    if answer is None:
        return codes.STOPPED
    missing = [] if answer.timed_out else here.find_missing(ids, answer.looks)
    _print_answer(answer, wanted.task_ids, timeout or 0.0, as_json=json)
    if answer.timed_out:
        return codes.TIMED_OUT
    return codes.worst(
        [*missing, *(codes.of_verdict(each.verdict, wait=True) for each in answer.looks)]
    )


def schema() -> None:
    """Print the JSON Schema of the progress file."""
    import json

    from guardkit.progress import snapshot

    print(json.dumps(snapshot.schema(), indent=2))


def _print_answer(answer: Answer, ids: Sequence[str], timeout: float, *, as_json: bool) -> None:
    """Print what came of a wait: a line for each build, or a list in JSON."""
    from guardkit.places.words import duration, is_over, look_line

    if as_json:
        from guardkit.places.records import encode_looks

        print(encode_looks(answer.looks))
        return
    late, now = "", _now()
    if answer.timed_out:
        words = f"{timeout:g} s" if timeout < 60 else duration(timeout)  # noqa: PLR2004
        late = f"timed out after {words}: "
    for look in answer.looks:
        line = f"{'' if is_over(look.verdict) else late}{look_line(look, now)}"
        print_states([line], where=f"^(?:{late})?")
    seen = {look.task_id for look in answer.looks}
    for unseen in (each for each in ids if late and each not in seen):
        print(f"{late}no run of {unseen} has begun")


def _now() -> float:
    from guardkit.clock import SYSTEM_CLOCK

    return SYSTEM_CLOCK.monotonic()
