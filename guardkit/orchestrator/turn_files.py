"""What is done with the files of a build's turns, in the thread of its documents."""

import os
import re
from contextlib import suppress
from io import FileIO

import msgspec

from guardkit.orchestrator.findings import NO_REPORT, CoachTurn
from guardkit.orchestrator.handed import feedback, player_turn
from guardkit.orchestrator.processes.environment import Secrets
from guardkit.orchestrator.proof.junit import Report, ReportError, read_junit
from guardkit.orchestrator.repository.folders import remove
from guardkit.progress.folder import Folder, temporary

FEEDBACK = "feedback.json"  # empty before the first turn
REQUEST = "cancel"  # who asks for the end of the build
TURN = re.compile(r"(player|coach|agent|coach_agent)_turn_.*")  # what tells of one
MAX_TURN = 2**26  # bytes of a document of ours
MAX_REQUEST = 200  # bytes
MAX_SAID = 2**20  # bytes of the Player's report; a longer one is none


def read_report(folder: Folder, name: str, since: int) -> tuple[Report | None, str]:
    """Return what a report says; or None, and why, as the end of a sentence. Raises OSError."""
    try:
        with FileIO(folder.file(name)) as file:
            os.fchmod(file.fileno(), 0o600)  # it may hold whatever the tests have printed
            if os.fstat(file.fileno()).st_mtime_ns < since:
                return None, "its report is older than its run"
            return read_junit(file), ""
    except FileNotFoundError:
        return None, NO_REPORT
    except ReportError as error:
        return None, f"its report cannot be understood: {error}"


def take(folder: Folder, name: str) -> bytes:
    """Return what a file holds, and remove it."""
    text = folder.read(name, MAX_REQUEST)
    folder.remove(name)
    return text


def make_room(folder: Folder, name: str) -> int:
    """Remove what has a name; return the time of now as the disk tells it, in nanoseconds."""
    remove(folder, name)
    aside = temporary()
    folder.replace(aside, b"")
    try:
        return folder.status(aside).st_mtime_ns
    finally:
        folder.remove(aside)


def begin_log(folder: Folder, name: str) -> int:
    """Return the descriptor of a new file that its owner alone may read."""
    remove(folder, name)
    return folder.file(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


def read_turns(folder: Folder) -> list[CoachTurn]:
    """Return the turns of an earlier run that can be read, one after the other."""
    found = list[CoachTurn]()
    with suppress(Exception):  # msgspec's: also UnicodeDecodeError; OSError: there are no more
        while True:
            text = folder.read(f"coach_turn_{len(found) + 1}.json", MAX_TURN)
            found.append(msgspec.json.decode(text, type=CoachTurn))
    return found


def clear_turns(folder: Folder) -> None:
    """Remove what the turns of an earlier run have left; before turn 1 there is no feedback."""
    for name in folder.names():
        if TURN.fullmatch(name):
            remove(folder, name)
    remove(folder, REQUEST)
    _write(folder, FEEDBACK, b"")


def write_turn(folder: Folder, judged: CoachTurn) -> str:
    """Leave the documents of a turn, and its feedback; the Player's keeps its own report."""
    name, said = f"player_turn_{judged.turn}.json", b""
    with suppress(OSError):  # there is none, or what is there is no regular file
        said = folder.read(name, MAX_SAID)
    document, trouble = player_turn(said, judged)
    _write(folder, name, _encode(document))
    _write(folder, f"coach_turn_{judged.turn}.json", _encode(judged))
    _write(folder, FEEDBACK, _encode(feedback(judged)))
    return trouble


def _write(folder: Folder, name: str, document: bytes) -> None:
    try:
        folder.replace(name, document)
    except IsADirectoryError:
        remove(folder, name)
        folder.replace(name, document)


def _encode(document: object) -> bytes:
    plain = Secrets().hide_in(msgspec.to_builtins(document))
    return msgspec.json.format(msgspec.json.encode(plain), indent=2)
