"""The runner of GitHub Actions, as far as it reads the output of a step: which commands it obeys.

After src/Runner.Common/ActionCommand.cs and src/Runner.Worker/ActionCommandManager.cs of
github.com/actions/runner.
"""

import re
from typing import NamedTuple

KNOWN = {"group", "endgroup", "error", "warning", "notice", "debug", "add-mask", "save-state"}
KNOWN |= {"set-output", "set-env", "add-path", "echo", "add-matcher", "remove-matcher"}
STOP = "stop-commands"
NEW = re.compile(r"\s*::([^ :]+)(?: +(.*?))?::(.*)", re.DOTALL)
OLD = re.compile(r"##\[([^ \]]+)(?: ([^\]]*))?\](.*)", re.DOTALL)


class Obeyed(NamedTuple):
    name: str
    properties: dict[str, str]
    data: str


def obey(output: str) -> list[Obeyed]:
    """Return the commands in an output that are obeyed, in order."""
    obeyed, token = list[Obeyed](), ""
    for line in output.split("\n"):
        names = KNOWN | {STOP, token.lower()}
        for pattern in (NEW.match, OLD.search):
            found = pattern(line)
            if found and found[1].lower() in names:
                break
        else:
            continue
        name = found[1].lower()
        if token:
            token = "" if name == token.lower() else token
        elif name == STOP:
            token = unescape(found[3])
        else:
            pairs = (each.split("=", 1) for each in (found[2] or "").split(",") if "=" in each)
            properties = {key: unescape(value, ":,") for key, value in pairs}
            obeyed.append(Obeyed(name, properties, unescape(found[3])))
    return obeyed


def unescape(text: str, more: str = "") -> str:
    for each in f"\r\n{more}%":  # the percent sign last
        text = text.replace(f"%{ord(each):02X}", each)
    return text
