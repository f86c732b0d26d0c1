"""What of our environment is handed on to agents, tests and git, and what of it is a secret."""

import os
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

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
# What the name of a variable says of its value.
SECRET = re.compile(r"(?i)token|secret|passw|_pass$|credential|api_?key|(private|access|n)_?key")
IN_URL = re.compile(r"://[^/@:\s]*:([^/@\s]+)@")
LEAST = 8  # characters of a secret: what is shorter may stand anywhere by chance
HIDDEN = "***"

Env = Mapping[str, str]


def environment(extra: Env) -> dict[str, str]:
    """Return our environment less our logins and what ties git to a repository, and `extra`."""
    return {**_kept(tuple(os.environb.items())), **extra}


@lru_cache(maxsize=1)  # it is asked for a hundred times a task, and to decode it costs most of that
def _kept(known: tuple[tuple[bytes, bytes], ...]) -> Env:
    decoded = ((os.fsdecode(name), os.fsdecode(value)) for name, value in known)
    kept = ((name, value) for name, value in decoded if name not in GIT_LOCAL)
    return {name: value for name, value in kept if not name.startswith(OURS)}


class Secrets:
    """The secrets in our environment: who is given them may print them, where all may read it."""

    def __init__(self) -> None:
        found = set[str]()
        for name, value in os.environ.items():
            if SECRET.search(name) and not Path(value).exists():
                found.add(value)
            found.update(IN_URL.findall(value))
        longest = sorted((each for each in found if len(each) >= LEAST), key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest))) if longest else None

    def hide(self, text: str) -> str:
        """Return a text with `***` in place of secrets."""
        return self._pattern.sub(HIDDEN, text) if self._pattern else text
