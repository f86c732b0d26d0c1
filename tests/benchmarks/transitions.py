"""A transition of a build, awaited until it is on disk."""

from functools import partial

from anyio import to_thread

from guardkit import track_build
from guardkit.progress.folder import open_builds

from .bounds import AIOFILES, ANYIO, TRANSITION
from .races import OURS, Row, compare, race, timed_awaits
from .setting import Run, pin
from .ways import bare_transition, transition_call_by_call

TIMES = 20


async def measure(run: Run) -> list[Row]:
    """Hold a transition against the same bytes written in one hop to a thread, and call by call.

    A transition writes twice: a line is added to the journal, and the file is replaced.
    """
    pin()  # which core a thread wakes up on would decide else, more than what anybody does
    async with track_build("TASK-1", root=run.tmpfs) as build, build.turn() as turn:

        async def phase() -> None:  # two transitions
            async with turn.phase("Player Implementation", budget=900):
                pass

        await phase()
        ours = run.tmpfs / ".guardkit/autobuild/TASK-1"
        document = (ours / "progress.json").read_bytes()
        line = (ours / "events.jsonl").read_bytes().splitlines(keepends=True)[-1]
        with open_builds(run.tmpfs) as builds:
            for name in ("TASK-2", "TASK-3"):
                builds.folder(name, make=True).close()
            hop = partial(to_thread.run_sync, bare_transition, builds.fd, "TASK-2", document, line)
            each = partial(transition_call_by_call, ours.with_name("TASK-3"), document, line)
            contestants = {
                OURS: timed_awaits(phase, TIMES // 2, each=2),
                ANYIO: timed_awaits(hop, TIMES),
                AIOFILES: timed_awaits(each, TIMES),
            }
            return compare(TRANSITION, await race(contestants, run.pick(40, 600)))
