"""Player and tests of a build that is replayed: `python replay.py player|tests …` in its worktree.

It does what `replay.json` says of the turn, and leaves in TURN.md which one that is.
"""

import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from xml.sax.saxutils import quoteattr

SCRIPT, NOTES = Path("replay.json"), Path("TURN.md")


def play(seconds: float) -> None:
    """Make and change the files of this turn, within some seconds."""
    number = int(os.environ["GUARDKIT_TURN"])
    turn = json.loads(SCRIPT.read_text(encoding="utf-8"))[number - 1]
    files = [("Write", each) for each in turn["created"]]
    files += [("Edit", each) for each in turn["modified"]]
    for verb, name in files:
        print(f"{verb} {name}", flush=True)
        with suppress(OSError):  # of two recorded paths, one may be the folder of the other
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text(f"Turn {number} has written this.\n", encoding="utf-8")
        time.sleep(seconds / len(files))
    NOTES.write_text(f"{number}\n\n{turn['notes']}\n", encoding="utf-8")


def report(path: str) -> int:
    """Leave the JUnit report of the turn; return the exit code of the tests."""
    number = int(NOTES.read_text(encoding="utf-8").split()[0])
    turn = json.loads(SCRIPT.read_text(encoding="utf-8"))[number - 1]
    passed, failures = range(1, turn["passed"] + 1), turn["failures"]
    cases = [f'<testcase classname="recorded" name="test {number}"/>' for number in passed]
    for index, why in enumerate(failures, 1):
        failure = f"<failure message={quoteattr(why)}/>"
        cases.append(f'<testcase classname="recorded" name="issue {index}">{failure}</testcase>')
    text = f'<testsuite name="recorded">{"".join(cases)}</testsuite>'
    Path(path).write_text(text, encoding="utf-8")
    print(f"{len(failures)} failed, {len(passed)} passed")
    return int(bool(failures))


if __name__ == "__main__":
    command, argument = sys.argv[1:]
    if command == "player":
        play(float(argument))
    else:
        sys.exit(report(argument))
