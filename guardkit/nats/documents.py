"""What stands on the subject of a task's documents, whose may replace it, and how it does.

The server's numbers order runs: each claims its task by the number of the first document that it
publishes while its builder lives. What a document says of itself orders nothing but its own run.
"""

from collections.abc import Collection
from datetime import datetime
from math import inf

import msgspec

from guardkit.errors import InvalidProgressError
from guardkit.monitor.verdict import WALL_DOUBT
from guardkit.nats.client import Client
from guardkit.nats.jetstream import Message, find_last, publish
from guardkit.nats.streams import DOCUMENTS
from guardkit.progress.lock import BEATS_MISSED
from guardkit.progress.snapshot import Snapshot, decode, is_newer

# Headers of a document.
CLAIM = "Guardkit-Claim"  # the number of its run's claim, where it is not the claim itself
AFTER = "Guardkit-After"  # the seq of the event before it
BESIDE = "Guardkit-Beside"  # run, process and host of another builder that had the task

BEAT_MAX = 60.0  # seconds between heartbeats, as far as another one's word for it is taken
AHEAD_MAX = 3.0  # seconds for which a document of our run may be ahead of the files
DIGITS_MAX = 18


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """The last document of a task; number 0: there is none.

    claim: the number by which its run has claimed the task.
    snapshot: what it shows, None where that is no document of the task.
    time: when the server took it.
    """

    number: int = 0
    claim: int = 0
    snapshot: Snapshot | None = None
    time: datetime | None = None


class Mine(msgspec.Struct, frozen=True, kw_only=True):
    """What a run has to show.

    snapshot: its newest document.
    truth: what its builder is known to be at, in this process; None: it may be further.
    claim: the number of its claim, 0: none yet.
    lives: whether its builder lives.
    before: the runs that came before it on its machine.
    """

    snapshot: Snapshot
    truth: Snapshot | None = None
    claim: int = 0
    lives: bool = False
    before: Collection[str] = ()


class DocumentOutbox:
    """Brings the newest document of a run to where it is seen, unless another run has claimed that.

    sent: what was published last, or need not be any more.
    sent_at: when that was, in monotonic seconds.
    claim: the number by which the run has claimed its task, 0: it has not.
    """

    def __init__(self, subject: str, task_id: str) -> None:
        self.sent: Snapshot | None = None
        self.sent_at = -inf
        self.claim = 0
        self._subject, self._task_id = subject, task_id
        self._shown: Shown | None = None
        self._seen = (0, 0.0)  # the number of the last message, and since when it is that
        self._beside = ""

    def forget(self) -> None:
        """Find out anew what the stream has."""
        self._shown = self.sent = None

    async def send(self, client: Client, mine: Mine, after: int, now: float) -> bool:
        """Publish a document that is newer; return False where another one was faster."""
        shown = self._shown or await self._look(client, now)
        if is_same_run(mine.snapshot, shown.snapshot):
            self.claim = max(self.claim, shown.claim)  # another one may have claimed for the run
        if not may_replace(mine, shown, silent=now - self._seen[1]):
            self._shown = None  # when there is news, it may be otherwise
            self.sent, self.sent_at = mine.snapshot, now
            return True
        claim, beside = self.claim, self._beside
        if not is_same_run(mine.snapshot, shown.snapshot) and claim <= shown.claim:
            claim, beside = 0, name_other(mine, shown)
        headers = {AFTER: str(after)}
        headers |= {CLAIM: str(claim)} if claim else {}
        headers |= {BESIDE: beside} if beside else {}
        payload = msgspec.json.encode(mine.snapshot)
        number = await publish(
            client, DOCUMENTS.name, self._subject, payload, headers, last=shown.number
        )
        if number is None:
            self._shown = None
            return False
        self.claim, self._beside = claim, beside
        if mine.lives or claim:
            self.claim = min(claim or number, number)
        self._shown = Shown(number=number, claim=self.claim or number, snapshot=mine.snapshot)
        self._seen, self.sent, self.sent_at = (number, now), mine.snapshot, now
        return True

    async def _look(self, client: Client, now: float) -> Shown:
        message = await find_last(client, DOCUMENTS.name, self._subject)
        self._shown = read_shown(message, self._task_id)
        if self._seen[0] != self._shown.number:
            self._seen = self._shown.number, now
        return self._shown


def read_shown(message: Message | None, task_id: str) -> Shown:
    """Return what the last message on the subject of a task shows."""
    if not message:
        return Shown()
    claim = read_number(message.headers, CLAIM)
    return Shown(
        number=message.seq,
        claim=claim if 0 < claim <= message.seq else message.seq,
        snapshot=read_document(message.data, task_id),
        time=message.time,
    )


def read_document(data: bytes, task_id: str) -> Snapshot | None:
    """Return the document of a task, None for what is none."""
    try:
        snapshot = decode(data)
    except InvalidProgressError:
        return None
    return snapshot if snapshot.task_id == task_id else None


def read_number(headers: dict[str, str], name: str) -> int:
    """Return the whole number in a header, 0 for what is none."""
    text = headers.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX else 0


def is_same_run(one: Snapshot, other: Snapshot | None) -> bool:
    """Return whether two documents are of one run."""
    return other is not None and one.tracker.run_id == other.tracker.run_id


def may_replace(mine: Mine, shown: Shown, *, silent: float) -> bool:
    """Return whether our document may take the place of the last one.

    silent: seconds for which that has stood there, as we have seen it.
    """
    ours, theirs = mine.snapshot, shown.snapshot
    if not theirs:
        return True
    if is_same_run(ours, theirs):
        return is_newer(ours, theirs) or _is_forged(theirs, mine, silent)
    if mine.claim > shown.claim:
        return True
    if mine.lives:  # the later claim is shown, as long as its builder lives, too
        every = min(theirs.tracker.heartbeat_seconds, BEAT_MAX)
        return not mine.claim or theirs.terminal or silent > BEATS_MISSED * every
    if theirs.tracker.run_id in mine.before:
        return True
    late = shown.time and (ours.updated_at - shown.time).total_seconds()
    return bool(late and ours.terminal and late > WALL_DOUBT)


def name_other(mine: Mine, shown: Shown) -> str:
    """Return what tells of another builder that had the task and has left no end, or `""`."""
    theirs = shown.snapshot
    if not theirs or theirs.terminal or is_same_run(mine.snapshot, theirs):
        return ""
    tracker = theirs.tracker
    if tracker.run_id in mine.before:
        return ""
    text = f"{tracker.run_id[:32]} {tracker.pid} {tracker.host[:64]}"
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in text)


def _is_forged(theirs: Snapshot, mine: Mine, silent: float) -> bool:
    """Return whether a document of our run cannot be its builder's; `silent` as above."""
    ours = mine.snapshot
    truth = ours if ours.terminal else mine.truth
    if truth is None:  # its builder's files are never behind for so long
        return mine.lives and silent > AHEAD_MAX and theirs != ours
    if truth.terminal:
        return theirs != truth
    return theirs.terminal or is_newer(theirs, truth)
