"""What of our environment is handed on to agents, tests and git, and what of it is a secret."""

import os
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import cast
from urllib.parse import unquote

# A git hook hands some of these to what it starts: they would point git at another repository,
# or change what a path means. All that `git rev-parse --local-env-vars` names, and five more.
_GIT_LOCAL = """
    ALTERNATE_OBJECT_DIRECTORIES COMMON_DIR CONFIG CONFIG_COUNT CONFIG_PARAMETERS DIR GRAFT_FILE
    IMPLICIT_WORK_TREE INDEX_FILE INTERNAL_SUPER_PREFIX NO_REPLACE_OBJECTS OBJECT_DIRECTORY PREFIX
    REPLACE_REF_BASE SHALLOW_FILE WORK_TREE
    GLOB_PATHSPECS ICASE_PATHSPECS LITERAL_PATHSPECS NOGLOB_PATHSPECS QUARANTINE_PATH
"""
GIT_LOCAL = {f"GIT_{name}" for name in _GIT_LOCAL.split()}
OURS = "NATS_"  # our own logins stay with us
# Files by which a step of GitHub Actions changes those after it, and its summary.
ACTIONS = {f"GITHUB_{name}" for name in ("ENV", "OUTPUT", "PATH", "STATE", "STEP_SUMMARY")}
NOT_OURS = GIT_LOCAL | ACTIONS
# What the name of a variable says of its value.
SECRET = re.compile(
    r"(?i)token|secret|passw|_(pass|pwd|pat)$|credential|api_?key|(private|access|n)_?key"
)
HEADERS = re.compile(r"OTEL_EXPORTER_OTLP_\w*HEADERS")  # name=value,name=value
IN_URL = re.compile(r"://[^/@:\s]*:([^/@\s]+)@")
TRACED_BY = {"TRACEPARENT", "OTEL_EXPORTER_OTLP_ENDPOINT"}  # who sets one of these, traces
TRACING = {  # of Claude Code: it tells of its tools and of each call of its model
    "CLAUDE_CODE_ENABLE_TELEMETRY": "1",
    "CLAUDE_CODE_ENHANCED_TELEMETRY_BETA": "1",
    "OTEL_TRACES_EXPORTER": "otlp",
}
LEAST = 8  # characters of a secret: what is shorter may stand anywhere by chance
HIDDEN = "***"

Env = Mapping[str, str]


def environment(extra: Env) -> dict[str, str]:
    """Return `extra` on top of our environment, less our logins and what is for us alone.

    That is what ties git to a repository, and what lets a step of GitHub Actions change those after
    it.
    """
    return {**_kept(tuple(os.environb.items())), **extra}


@lru_cache(maxsize=1)  # it is asked for a hundred times a task, and to decode it costs most of that
def _kept(known: tuple[tuple[bytes, bytes], ...]) -> Env:
    decoded = ((os.fsdecode(name), os.fsdecode(value)) for name, value in known)
    kept = ((name, value) for name, value in decoded if name not in NOT_OURS)
    return {name: value for name, value in kept if not name.startswith(OURS)}


def tracing() -> dict[str, str]:
    """Return what has Claude Code tell traces, where the user traces; less what they have set."""
    if TRACED_BY.isdisjoint(os.environ):
        return {}
    return {name: value for name, value in TRACING.items() if name not in os.environ}


def _is_file(value: str) -> bool:
    """Return whether a value is the path of a file that holds the secret."""
    try:
        return Path(value).exists()
    except (OSError, ValueError):  # such as a name that is too long for one
        return False


class Secrets:
    """The secrets in our environment: who is given them may print them, where all may read it."""

    def __init__(self) -> None:
        found = set[str]()
        for name, value in os.environ.items():
            if SECRET.search(name) and not _is_file(value):
                found.add(value)
            if HEADERS.fullmatch(name):
                for header in value.split(","):
                    given = header.partition("=")[2].strip()
                    found.update((given, *unquote(given).split()))
            found.update(IN_URL.findall(value))
        longest = sorted((each for each in found if len(each) >= LEAST), key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest))) if longest else None

    def hide(self, text: str) -> str:
        """Return a text with `***` in place of secrets."""
        return self._pattern.sub(HIDDEN, text) if self._pattern else text

    def hide_in(self, value: object) -> object:
        """Return what JSON is made of, with `***` in place of secrets in its texts."""
        if isinstance(value, str):
            return self.hide(value)
        if isinstance(value, Mapping):
            found = cast("Mapping[object, object]", value)
            return {self.hide_in(key): self.hide_in(each) for key, each in found.items()}
        if isinstance(value, list | tuple):
            return [self.hide_in(each) for each in cast("Sequence[object]", value)]
        return value
