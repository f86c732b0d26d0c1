"""The journal of a task, as people and programs read it: run by run, and as it goes on."""

from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from datetime import datetime

from guardkit.monitor.look import Source
from guardkit.places.plain import clean
from guardkit.places.records import encode_event
from guardkit.places.words import counts, duration, local, tasks, used
from guardkit.progress.snapshot import Event


class Log:
    """What of a journal has been told, so that of its next event the lines that are new are told.

    as_json: whether an event is one line of JSON, instead of a line below the heading of its run.
    """

    def __init__(self, *, as_json: bool = False) -> None:
        self._as_json = as_json
        self._run_id: str | None = None

    def tell(self, event: Event) -> list[str]:
        """Return the lines for the next event."""
        if self._as_json:
            return [encode_event(event)]
        before, self._run_id = self._run_id, event.run_id
        if before == event.run_id:
            return [log_line(event)]
        return [*([] if before is None else [""]), heading(event), log_line(event)]


async def read_log(
    builds: Source, task_id: str, *, last: bool = False, follow: bool = False
) -> AsyncGenerator[Event]:
    """Yield the events of a task, oldest first.

    builds: where it is looked for.
    last: whether those of the latest run alone are yielded.
    follow: whether it goes on with what happens, for ever.
    Raises InvalidTaskIdError, and InvalidProgressError where the builds cannot be listed.
    """
    events = await builds.events(task_id)
    if last:
        events = [event for event in events if event.run_id == events[-1].run_id]
    for event in events:
        yield event
    if not follow:
        return
    told = {_name(event) for event in events}
    async with aclosing(builds.watch([task_id], past=True)) as looks:
        async for look in looks:
            for event in look.events:
                if _name(event) not in told:  # else it is in the first look, too
                    yield event


def _name(event: Event) -> tuple[str, int, str]:
    return event.run_id, event.seq, event.event


def log_line(event: Event) -> str:
    """Return an event of the journal in a line."""
    now, name = event.progress, clean(event.event)
    turn, phase = f"Turn {now.turn} of {now.turn_max}", clean(now.phase)
    wave = f"Wave {now.wave} of {now.wave_total}"
    ended = f"{now.status} after {duration(now.metrics.elapsed_seconds)}"
    what: dict[str, tuple[str | None, ...]] = {
        "build.started": (now.task_name,),
        "build.ended": (ended, now.error, ", ".join(used(now))),
        "wave.started": (wave,),
        "wave.ended": (wave, ", ".join(tasks(now))),
        "turn.started": (turn,),
        "turn.ended": (turn,),
        "phase.ended": (phase, now.phase_status, ", ".join(counts(now))),
        "decided": (now.decision, now.message),
        "failed": (now.error,),
    }
    told = " - ".join(filter(None, map(clean, what.get(name, (phase,)))))
    at = now.updated_at
    with suppress(ValueError):
        at = datetime.fromisoformat(event.at)
    return f"{local(at, '%Y-%m-%d %H:%M:%S')}  {name:<13}  {told}".rstrip()


def heading(event: Event) -> str:
    """Return the line that stands above the events of a run."""
    return f"== Run {clean(event.run_id) or 'of another program'} =="
