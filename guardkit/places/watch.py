"""Builds as they happen, told on a display."""

import asyncio
import os
from collections.abc import Collection, Generator
from contextlib import aclosing, contextmanager, suppress
from fcntl import F_GETFL, fcntl
from stat import S_ISFIFO

from anyio import CancelScope

from guardkit.clock import SYSTEM_CLOCK, Clock
from guardkit.errors import GuardKitError
from guardkit.monitor.look import Look, Source
from guardkit.monitor.verdict import Verdict
from guardkit.places.notify import Bell
from guardkit.places.order import TROUBLE, feature_of
from guardkit.places.output import unread
from guardkit.places.plain import clean
from guardkit.places.terminal.display import Display
from guardkit.places.terminal.lines import Kind, Line
from guardkit.places.terminal.next_step import next_steps
from guardkit.places.terminal.story import ENDS
from guardkit.places.words import OVER, is_over, is_past_watching, local, run_of

PAST_MAX = 100  # builds of which it is told what happened before; of more only where they are
TICK = 1.0  # seconds between two looks at what ticks on a terminal


async def watch(
    builds: Source,
    task_ids: Collection[str],
    display: Display,
    *,
    past: Collection[Look] = (),
    features: bool = False,
    follow: bool = False,
    bell: Bell | None = None,
    clock: Clock | None = None,
) -> dict[str, Verdict]:
    """Tell a display of builds until all have ended or are gone, or nobody reads.

    builds: where they are looked for.
    task_ids: which ones; none stands for all that run now, or begin meanwhile.
    past: looks at builds of which nothing is told if they have ended: nobody has asked for them.
    features: whether there are features among the ids, of whose tasks it is told, too.
    follow: whether it goes on for ever.
    bell: is told of the looks that the display is told of.
    clock: by default the machine's.
    Returns the last verdict on each build that was told of, or was asked for; raises what
    `Builds.look` raises.
    """
    watching = Watching(display, past=past, heads=task_ids if features else ())
    least = len(task_ids) or sum(not is_over(each.verdict) for each in past)
    ticking = asyncio.create_task(_tick(builds, display, clock or SYSTEM_CLOCK))
    try:
        with CancelScope() as scope, until_unread(display.fd, scope):
            history = len(task_ids or past) <= PAST_MAX
            wanted = () if features else task_ids
            async with aclosing(builds.watch(wanted, past=history)) as looks:
                async for look in looks:
                    if bell and watching.concerns(look):
                        bell.hear(look)
                    if lines := watching.tell(look):
                        await display.say(*lines)
                        if display.error or unread(display.fd):
                            break
                    if is_past_watching(look.verdict) and watching.is_over(least) and not follow:
                        break
    finally:
        ticking.cancel()
        if bell:
            await bell.finish()
    found = watching.verdicts
    return {each: found[each] for each in found if each in task_ids or not task_ids}


class Watching:
    """What was told of some builds so far.

    verdicts: the last one on each of them.
    past: looks at runs of which nothing is told if they have ended, as nobody asks for them.
    heads: builds beside which it is told of their tasks alone; none stands for all builds.
    """

    def __init__(
        self, display: Display, *, past: Collection[Look] = (), heads: Collection[str] = ()
    ) -> None:
        self.verdicts: dict[str, Verdict] = {}
        self._display, self._heads = display, frozenset(heads)
        self._open = set[str]()  # which of them go on
        self._ends = set[tuple[str, str | None, str]]()  # after which a next command was told
        self._past = {(each.task_id, run_of(each)) for each in past if is_over(each.verdict)}

    def concerns(self, look: Look) -> bool:
        """Return whether anybody wants to know of a look.

        A watch may know better than a single look that called a build elsewhere lost.
        """
        if look.task_id in self.verdicts:
            return True
        if self._heads and self._heads.isdisjoint({look.task_id, feature_of(look.snapshot)}):
            return False
        return not (is_over(look.verdict) and (look.task_id, run_of(look)) in self._past)

    def tell(self, look: Look) -> list[Line]:
        """Return the lines that are new with a look."""
        task_id, verdict = look.task_id, look.verdict
        before = self.verdicts.get(task_id)
        if not self.concerns(look):
            return []
        self.verdicts[task_id] = verdict
        (self._open.discard if is_past_watching(verdict) else self._open.add)(task_id)
        display = self._display
        display.labels |= len(self.verdicts) > 1
        lines: list[Line] = []
        if look.snapshot:
            if not display.has_table:
                of_run = (each.progress for each in look.events if each.run_id == run_of(look))
                lines = [line for each in of_run for line in display.tell(each)]
            lines += display.tell(look.snapshot, verdict)
        else:
            display.show(task_id, None, verdict)
        lines += self._trouble(look, before)
        return [*lines, *self._next(look)]

    def is_over(self, number: int) -> bool:
        """Return whether so many builds at least have been told of, and all of them are over."""
        return len(self.verdicts) >= max(number, 1) and not self._open

    def _next(self, look: Look) -> list[Line]:
        """Return the next commands, once for each end; a journal may tell of one before a look."""
        end = look.task_id, run_of(look), look.verdict.state
        is_asked = look.task_id in self._heads or not self._display.has_table
        if not (is_asked and is_over(look.verdict)) or end in self._ends:
            return []
        self._ends.add(end)
        return [Line(Kind.END, step) for step in next_steps(look)]

    def _trouble(self, look: Look, before: Verdict | None) -> list[Line]:
        """Return the line that says that a build is in trouble now, or no longer."""
        (state, evidence), was = look.verdict, before.state if before else "running"
        is_anew = state == "running" and was in OVER
        is_new = state not in {was, *ENDS} and not is_anew
        if not look.snapshot:
            is_new = look.verdict != before and not (state == "running" and self._display.has_table)
        if is_new:
            text = f"{look.task_id} {state}: {clean(evidence)}"
            at = local(self._display.clock.now(), "%H:%M:%S")
            return [Line(Kind.TROUBLE, text, "failed" * (state in TROUBLE), at=at)]
        return []


async def _tick(builds: Source, display: Display, clock: Clock) -> None:
    """Look at what ticks on a terminal, as heartbeats are no changes that a watch tells of."""
    while True:
        await clock.sleep(TICK)
        if task_ids := display.ticking:
            with suppress(GuardKitError):
                for look in await builds.look(task_ids):
                    display.show(look.task_id, look.snapshot, look.verdict)


@contextmanager
def until_unread(fd: int, scope: CancelScope) -> Generator[None]:
    """Cancel a scope as soon as the reader of a pipe has gone."""
    loop, is_writing = asyncio.get_running_loop(), fcntl(fd, F_GETFL) & os.O_ACCMODE == os.O_WRONLY
    is_pipe = is_writing and S_ISFIFO(os.fstat(fd).st_mode)
    if is_pipe:  # there is never anything to read from it, but the reader's going is told
        loop.add_reader(fd, scope.cancel)
    try:
        yield
    finally:
        if is_pipe:
            loop.remove_reader(fd)
