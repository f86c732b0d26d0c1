"""The commands that look at builds: status, watch, wait, log and schema.

A command imports what needs an event loop or a live terminal itself: the others start at once.
"""

from __future__ import annotations

from guardkit.cli import codes, values
from guardkit.cli.finder import find
from guardkit.errors import MisuseError, ProgressNotFoundError

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardkit.cli.parser import Commands, Parser
    from guardkit.monitor.look import Source
    from guardkit.monitor.verdict import Verdict
    from guardkit.places.wait import Answer, Until

RUN_OR_NEXT = (
    "--run names a run that has begun, --next one that has not: give one of them; see guardkit "
    "wait --help"
)


def add_commands(commands: Commands) -> None:
    """Declare the commands."""
    commands.add("status", status, _declare_status)
    commands.add("watch", watch, _declare_watch)
    commands.add("wait", wait, _declare_wait)
    commands.add("log", log, _declare_log)
    commands.add("schema", schema, lambda _: None)


def _declare_status(command: Parser) -> None:
    command.add_ids()
    command.add_flag("--json", about="Print a list in JSON.")
    _add_place(command, stalls=True)


def _declare_watch(command: Parser) -> None:
    command.add_ids()
    command.add_flag("--follow", about="Go on for ever, and show builds that begin later.")
    _add_place(command, stalls=True)


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
    _add_place(command, stalls=True)


def _declare_log(command: Parser) -> None:
    command.add_id()
    command.add_flag("--last", about="Print the latest run alone.")
    command.add_flag("--follow", about="Go on for ever, and print what happens.")
    command.add_flag("--json", about="Print each event in JSON, one a line, without headings.")
    _add_place(command)


def _add_place(command: Parser, *, stalls: bool = False) -> None:
    if stalls:
        command.add_stall_after()
    command.add_root()
    command.add_nats(about="Look at the builds of all machines, on a NATS server.")
    command.add_project()


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
    found = [*here.find_missing(ids, looks), *(_code(each.verdict) for each in looks)]
    if json:
        from guardkit.places.records import encode_looks

        print(encode_looks(looks))
    elif looks:
        from guardkit.places.below import is_feature, lines_below
        from guardkit.places.words import status_lines

        answers = here.answers(looks[0]) if len(looks) == 1 else ()
        lines = status_lines(looks, _now(), answers)
        if len(ids) == 1 and is_feature(looks[0]):
            lines += lines_below(looks[0], here.look(), _now())
        print("\n".join(lines))
    if not found:
        raise ProgressNotFoundError(f"no build is known {here.name}")
    return codes.worst(found)


def watch(
    *,
    ids: list[str],
    follow: bool,
    stall_after: float,
    root: str,
    nats: str | None,
    project: str | None,
) -> int:
    """Show builds live until they have ended.

    A build whose builder is gone has ended, too. Where no ids are given, builds that begin
    meanwhile are shown as well. Ctrl-C ends only the watching. The exit code is that of status.
    """
    from guardkit.cli.signals import until_signal
    from guardkit.places.display import Display
    from guardkit.places.watch import watch
    from guardkit.places.words import is_over, is_past_watching

    here = find(root, nats, project, stall_after=stall_after)
    looks = here.look(ids)
    missing = [] if follow else here.find_missing(ids, looks)
    running = [each.task_id for each in looks if ids or not is_over(each.verdict)]
    if not (running or missing or follow):
        raise ProgressNotFoundError(f"no build is running {here.name}")
    display = Display(1, labels=len(running) > 1)
    wanted = ids if follow else [each.task_id for each in looks if ids]
    past = () if ids else looks
    if not (running or follow):
        return codes.worst(missing)
    watching = watch(here.builds, wanted, display, past=past, follow=follow)
    verdicts = until_signal(watching, display.shown)
    if verdicts is None:
        return codes.STOPPED
    if display.error:
        raise display.error
    if display.lost or not verdicts or not all(map(is_past_watching, verdicts.values())):
        return codes.UNDONE  # nobody reads it
    return codes.worst([*missing, *map(_code, verdicts.values())])


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
    return codes.worst([*missing, *(_code(each.verdict, wait=True) for each in answer.looks)])


def log(
    *,
    task_id: str,
    last: bool,
    follow: bool,
    json: bool,
    root: str,
    nats: str | None,
    project: str | None,
) -> int:
    """Print the journal of a task: a heading for each run, and a line for each event."""
    from anyio import CancelScope

    from guardkit.cli.signals import until_signal
    from guardkit.places.log import Log, read_log
    from guardkit.places.watch import until_unread

    async def tell(builds: Source) -> int:
        lines, code = Log(as_json=json), codes.UNKNOWN
        with CancelScope() as scope, until_unread(1, scope):
            async for event in read_log(builds, task_id, last=last, follow=follow):
                print("\n".join(lines.tell(event)), flush=follow)
                code = codes.COMPLETED
        return codes.UNDONE if scope.cancelled_caught else code

    here = find(root, nats, project)
    if follow and not here.look([task_id]):
        raise here.not_found(task_id)
    code = until_signal(tell(here.builds))
    if code == codes.UNKNOWN:
        why = f"no build of {task_id} is in a journal {here.name}"
        raise ProgressNotFoundError(why) if here.look([task_id]) else here.not_found(task_id)
    return codes.STOPPED if code is None else code


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
        print(f"{'' if is_over(look.verdict) else late}{look_line(look, now)}")
    seen = {look.task_id for look in answer.looks}
    for unseen in (each for each in ids if late and each not in seen):
        print(f"{late}no run of {unseen} has begun")


def _code(verdict: Verdict, *, wait: bool = False) -> int:
    """Return the exit code for one build; `wait` tells one that runs from one that is done."""
    is_running = wait and verdict.state == "running"
    return codes.RUNNING if is_running else codes.BY_STATE[verdict.state]


def _now() -> float:
    from guardkit.clock import SYSTEM_CLOCK

    return SYSTEM_CLOCK.monotonic()
