"""Watches of builds by agents: as MCP tasks, and as calls that wait.

A task leaves nothing here: its id holds all that is needed to go on with it, in another process,
too. A call waits for some time and tells its progress meanwhile, if the asker wants that.
"""

from __future__ import annotations

from guardkit.errors import GuardKitError, ProgressNotFoundError
from guardkit.monitor.brief import Listener
from guardkit.places.mcp.rpc import INVALID_PARAMS, RpcError
from guardkit.places.mcp.tools import LINE_MAX, complain, make_look, tell
from guardkit.places.plain import clean, clip
from guardkit.places.until import Watch, recall
from guardkit.places.words import look_line

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from guardkit.monitor.look import Look
    from guardkit.places.mcp.asker import Asker
    from guardkit.places.mcp.rpc import Call, Json
    from guardkit.places.mcp.tools import Tools
    from guardkit.places.wait import Until

TICK = 1.0  # seconds between two looks of a call, and between two questions about a task
WAIT_MAX = 100.0  # seconds that a call waits: Claude Code hears no progress of it after 120
CALLS_MAX = 100  # that wait at once
STILL = "still running: call again"


class Waiting:
    """A call that waits.

    due: when it looks next, in monotonic seconds. end: when it is answered in any case.
    """

    def __init__(self, call: Call, asker: Asker, watch: Watch, now: float) -> None:
        self.call, self.asker, self.watch = call, asker, watch
        self.due, self.end = now, now + WAIT_MAX
        self.looks = 0


class Watches:
    """The watches of builds; `tools` knows where these are."""

    def __init__(self, tools: Tools) -> None:
        self._tools, self._root, self._clock = tools, tools.root, tools.clock
        self._listener = Listener(tools.clock)
        self._calls: list[Waiting] = []

    def begin(self, call: Call, asker: Asker, task_id: str, until: Until) -> Json | None:
        """Return what comes of a new watch at once, None where its call is answered later.

        Raises GuardKitError.
        """
        found = self._listener.look(self._root, [task_id])
        if not found:
            raise self._tools.not_found(task_id)
        case = found[task_id]
        watch, look = Watch.begin(task_id, until, case), make_look(task_id, case)
        if watch.is_met(case) or (len(self._calls) >= CALLS_MAX and not asker.has_tasks):
            return self._tell(look, is_met=watch.is_met(case))
        if asker.has_tasks:
            return self._describe(watch, look) | {"resultType": "task"}
        self._calls.append(Waiting(call, asker, watch, self._clock.monotonic()))
        return None

    def ask(self, task: object, asker: Asker) -> Json:
        """Return how an MCP task is; raises RpcError where there is none of that name."""
        watch = check_task(task)
        try:
            look, is_met = self._see(watch)
        except GuardKitError as error:
            raise RpcError(INVALID_PARAMS, clip(clean(str(error)), LINE_MAX)) from None
        told = self._describe(watch, look)
        if not is_met:
            return told
        return told | {"status": "completed", "result": asker.dress(self._tell(look, is_met=True))}

    def drop(self, name: object) -> None:
        """Forget the calls of that name, which nobody wants to be answered any more."""
        for each in [it for it in self._calls if it.call.name == name]:
            self._calls.remove(each)
            each.call.drop()

    def due(self) -> float | None:
        """Return in how many seconds a call looks, None where none waits."""
        if not self._calls:
            return None
        return min(each.due for each in self._calls) - self._clock.monotonic()

    def tick(self) -> Iterable[Json]:
        """Look for the calls that are due: answer them, or return what tells of their progress."""
        now = self._clock.monotonic()
        due = [each for each in self._calls if each.due <= now]
        return [*filter(None, (self._step(each, now) for each in due))]

    def finish(self) -> None:
        """Answer all calls that wait with how the builds are now."""
        for each in self._calls:
            each.due = each.end = self._clock.monotonic()
        self.tick()

    def _step(self, it: Waiting, now: float) -> Json | None:
        """Answer a call, or return what is told of its progress."""
        try:
            look, is_met = self._see(it.watch)
        except GuardKitError as error:
            result = complain(error)
        else:
            if not is_met and now < it.end:
                it.due, it.looks = now + TICK, it.looks + 1
                return self._progress(it, look)
            result = self._tell(look, is_met=is_met)
        self._calls.remove(it)
        it.call.answer(it.asker.dress(result))
        return None

    def _progress(self, it: Waiting, look: Look) -> Json | None:
        """Return the message that tells of a call's progress, None where it is not wanted."""
        if it.asker.token is None:
            return None
        told = {"progressToken": it.asker.token, "progress": it.looks, "message": self._line(look)}
        return {"jsonrpc": "2.0", "method": "notifications/progress", "params": told}

    def _see(self, watch: Watch) -> tuple[Look, bool]:
        """Return a look at the run that is watched, and whether the watch is over.

        Raises GuardKitError, ProgressNotFoundError where nothing is known of the run.
        """
        task_id, run = watch.task_id, watch.run
        case = self._listener.look(self._root, [task_id]).get(task_id)
        if not case:
            raise self._tools.not_found(task_id)
        if watch.concerns(case):
            return make_look(task_id, case), watch.is_met(case)
        from guardkit.progress.journal import read_events

        past = recall(task_id, run, read_events(task_id, root=self._root))
        if not past:
            raise ProgressNotFoundError(f"{task_id} has no such run as {run}")
        return make_look(task_id, past), True

    def _describe(self, watch: Watch, look: Look) -> Json:
        """Return a watch as an MCP task, which is taken to have begun when the build did."""
        now = self._clock.now()
        return {
            "taskId": f"{watch}",
            "status": "working",
            "statusMessage": self._line(look),
            "createdAt": _stamp(look.snapshot.started_at if look.snapshot else now),
            "lastUpdatedAt": _stamp(now),
            "ttlMs": None,
            "pollIntervalMs": int(1000 * TICK),
        }

    def _line(self, look: Look) -> str:
        return clip(look_line(look, self._clock.monotonic()), LINE_MAX)

    def _tell(self, look: Look, *, is_met: bool) -> Json:
        """Return how a build is as the result of the tool."""
        lines = self._tools.describe(look)
        return tell(lines if is_met else [*lines, STILL])


def check_task(name: object) -> Watch:
    """Return the watch that an MCP task is; raises RpcError where it is none."""
    watch = Watch.read(name) if isinstance(name, str) else None
    if not watch:
        raise RpcError(INVALID_PARAMS, "there is no such task")
    return watch


def _stamp(at: datetime) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")
