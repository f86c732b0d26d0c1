"""Where the commands look for builds: below a root, or on a NATS server."""

from __future__ import annotations

from contextlib import suppress

from guardkit.cli.streams import complain
from guardkit.errors import GuardKitError, MisuseError, ProgressNotFoundError
from guardkit.places.words import unknown

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from guardkit.monitor.look import Look, Source
    from guardkit.progress.snapshot import Event, Snapshot

FEW = 16  # journals on a server


class Finder:
    """What finds builds.

    builds: those that are there.
    name: where that is, as the end of a sentence.
    """

    def __init__(self, builds: Source, name: str) -> None:
        self.builds = builds
        self.name = name

    def look(self, ids: Iterable[str] = ()) -> list[Look]:
        """Return a look at each of some builds, by default of all; raises as `Source.look`."""
        from guardkit.monitor.builds import Builds

        if isinstance(self.builds, Builds):  # which needs no event loop
            return self.builds.look_now(ids)
        import asyncio

        return asyncio.run(self.builds.look(ids))

    def answers(self, look: Look) -> list[str]:
        """Return the lines of the four answers about a build; none about one that is over."""
        from guardkit.places.answers import answer_lines, answers
        from guardkit.places.words import age, is_over

        if not look.snapshot or is_over(look.verdict):
            return []
        events: list[Event] = []
        with suppress(GuardKitError):  # what cannot be read is left out
            events = self._events(look.task_id)
        since = age(look.snapshot, self.builds.clock.monotonic())
        found = answers(look.snapshot, events, since)
        if expected := self._expected(look.snapshot, events, since):
            found["expected"] = expected
        return answer_lines(found)

    def _expected(self, snapshot: Snapshot, events: list[Event], since: float) -> str:
        """Return how much longer a build may take, in words; empty where there is no ground."""
        from guardkit.places.expected import expect, learn, words

        found = expect(snapshot, events, learn(self._others(snapshot.task_id)), since)
        return words(found) if found else ""

    def _others(self, task_id: str) -> Iterator[list[Event]]:
        """Yield the journals of other tasks; on a server, where each takes a while, of a few."""
        from guardkit.monitor.builds import Builds
        from guardkit.places.journals import near, read_journals, read_near

        if isinstance(self.builds, Builds):
            yield from read_near(task_id, self.builds.where)
            return
        import asyncio

        with suppress(GuardKitError):
            ids = near(task_id, (look.task_id for look in self.look()), FEW)
            yield from asyncio.run(read_journals(self.builds, ids)).values()

    def _events(self, task_id: str) -> list[Event]:
        """Return what the journal of a task still has; raises as `Source.events`."""
        from guardkit.monitor.builds import Builds

        if isinstance(self.builds, Builds):
            from guardkit.progress.journal import read_events

            return read_events(task_id, root=self.builds.where)
        import asyncio

        return asyncio.run(self.builds.events(task_id))

    def find_missing(self, ids: Iterable[str], looks: Collection[Look]) -> list[int]:
        """Complain of builds that are not there; return an exit code for each."""
        seen = {look.task_id for look in looks}
        return [complain(self.not_found(each)) for each in dict.fromkeys(ids) if each not in seen]

    def not_found(self, task_id: str) -> ProgressNotFoundError:
        """Return what to raise where there is no build of a task; it names the nearest one."""
        known: list[str] = []
        with suppress(GuardKitError):
            known = [look.task_id for look in self.look()]
        return ProgressNotFoundError(unknown(task_id, self.name, known))


def find(
    root: str, nats: str | None, project: str | None, *, stall_after: float = 1800.0
) -> Finder:
    """Return what finds builds.

    root: the folder in which `.guardkit` is.
    nats: the URL of a server that counts instead, `""` for the usual one; None: the root.
    project: of that on the server.
    stall_after: seconds without activity that make a build stalled.
    """
    if nats is None:
        from guardkit.monitor.builds import Builds

        if project:
            raise MisuseError("--project tells builds on a server apart: add --nats")
        return Finder(Builds(root, stall_after=stall_after), f"below {root}")
    from guardkit.nats import NatsBuilds

    builds = NatsBuilds(nats, project=project, stall_after=stall_after)
    of_project = f" in the project {builds.project}" if builds.project else ""
    return Finder(builds, f"on {builds.where}{of_project}")
