"""Everything that guardkit raises on purpose, and what its messages share.

GuardKitError
├── MisuseError              an invalid argument (ValueError)
│   └── InvalidTaskIdError   a task id that is not one
├── ScopeError               a build, turn or phase used out of order (RuntimeError)
├── BuildAlreadyRunningError another builder holds the task (RuntimeError)
├── ProgressNotFoundError    no progress file (FileNotFoundError)
├── InvalidProgressError     a progress file that cannot be read (ValueError)
├── TaskNotFoundError        no task file with that id (LookupError)
├── InvalidTaskError         a task file that cannot be read (ValueError)
├── InvalidFeatureError      a feature file that is not there, or makes no sense (ValueError)
├── InvalidSettingsError     another program's settings that cannot be changed (ValueError)
├── NatsError                NATS cannot be reached, or not be used (ConnectionError)
├── TracesError              traces cannot be sent (RuntimeError)
└── WorkspaceError           git cannot give the build a place to work (RuntimeError)
"""

from __future__ import annotations

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from collections.abc import Iterable

LENGTH_MAX = 100  # characters of a word to which the nearest one is looked for


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a question that names the known word which is most like a mistyped one, or `""`."""
    from difflib import get_close_matches

    found = get_close_matches(word[:LENGTH_MAX], known, 1)
    return f" (did you mean {found[0]}?)" if found else ""


class GuardKitError(Exception):
    """Base of every error that guardkit raises; the message names the value and the remedy."""


class MisuseError(GuardKitError, ValueError):
    """An invalid argument, such as a negative count."""


class InvalidTaskIdError(MisuseError):
    """A task id with other than 1 to 128 letters, digits, dots, underscores and hyphens."""


class ScopeError(GuardKitError, RuntimeError):
    """A build, turn or phase was entered twice, out of order, or used after its end."""


class BuildAlreadyRunningError(GuardKitError, RuntimeError):
    """Another living builder holds this task.

    holder: who it is, as far as its progress file tells; None where it has not written yet.
    """

    def __init__(self, message: str = "", holder: str | None = None) -> None:
        super().__init__(message)
        self.holder = holder


class ProgressNotFoundError(GuardKitError, FileNotFoundError):
    """There is no progress file for this task below this root."""


class InvalidProgressError(GuardKitError, ValueError):
    """The progress file is not one that this version can read."""


class TaskNotFoundError(GuardKitError, LookupError):
    """No task file carries this id."""


class InvalidTaskError(GuardKitError, ValueError):
    """The task file cannot be read as one."""


class InvalidFeatureError(GuardKitError, ValueError):
    """There is no such feature file, or its tasks cannot be put into waves."""


class InvalidSettingsError(GuardKitError, ValueError):
    """The settings of another program cannot be read, and so are left as they are."""


class NatsError(GuardKitError, ConnectionError):
    """NATS cannot be reached, refuses us, or is not set up for builds."""


class TracesError(GuardKitError, RuntimeError):
    """Traces cannot be sent: the extra is missing, or they are wanted in another protocol."""


class WorkspaceError(GuardKitError, RuntimeError):
    """Git cannot give the build a worktree, or cannot say what has changed."""
