"""Which runs of a task have spans that were not sent: noted beside the journal.

So what a builder that died could not send, its successor sends, with the span that the run was part
of, which nobody else knows any more; and what was sent is not sent again.
"""

from contextlib import suppress

import msgspec

from guardkit.places.traces.ids import Outer
from guardkit.progress.folder import Folder
from guardkit.progress.paths import is_run_id
from guardkit.progress.snapshot import Count

NOTES = "traces.json"
SIZE_MAX = 2**16  # bytes
RUNS_MAX = 100  # that are noted: the newest


class Note(msgspec.Struct, frozen=True):
    """How far a run was sent: the spans up to `seq`; and what its build is part of."""

    seq: Count = 0
    traceparent: str | None = None

    @property
    def outer(self) -> Outer | None:
        """What the build is part of, None: nothing."""
        return Outer.parse(self.traceparent)


Notes = dict[str, Note]  # by the id of the run, oldest first


def read_notes(folder: Folder) -> Notes:
    """Return what is noted in the folder of a build; raises OSError."""
    try:
        document = folder.read(NOTES, SIZE_MAX)
    except FileNotFoundError:
        return {}
    with suppress(Exception):  # msgspec: also UnicodeDecodeError, RecursionError
        notes = msgspec.json.decode(document, type=Notes)
        return {run_id: note for run_id, note in notes.items() if is_run_id(run_id)}
    return {}


def write_notes(folder: Folder, notes: Notes) -> None:
    """Note that; where nothing is left, there is no file. Raises OSError."""
    if notes:
        newest = dict([*notes.items()][-RUNS_MAX:])
        folder.replace(NOTES, msgspec.json.encode(newest))
        return
    with suppress(FileNotFoundError):
        folder.remove(NOTES)
