"""Where `update` and its like leave what they are given, until a snapshot takes it.

Stores and loads in a row, without a call among them, are never interrupted: CPython switches to
another thread, a signal handler or a finaliser only at calls and at the end of loops.
"""

from guardkit.progress.snapshot import Tasks, Work


class Left:
    """What was left last, of each kind.

    clean: whether nothing has been left since a snapshot took it.
    touched: when something was done last, on the monotonic clock.
    work_of: the number of the phase whose `work` it is.
    tokens, cost_usd: None as long as none were given.
    """

    __slots__ = (
        "clean",
        "cost_usd",
        "files_created",
        "files_modified",
        "message",
        "tasks",
        "tests_passed",
        "tests_total",
        "tokens",
        "touched",
        "work",
        "work_of",
    )

    def __init__(self) -> None:
        self.clean, self.touched = True, 0.0
        self.files_created = self.files_modified = self.tests_passed = self.tests_total = 0
        self.message: str | None = None
        self.work: Work | None = None
        self.work_of = 0
        self.tokens: int | None = None
        self.cost_usd: float | None = None
        self.tasks: Tasks | None = None

    def take(self) -> "Counts":
        """Return what is left; what comes from here on is told of again."""
        self.clean = True
        files, tests = (
            (self.files_created, self.files_modified),
            (self.tests_passed, self.tests_total),
        )
        used = self.tokens, self.cost_usd
        return files, tests, self.message, self.work, self.work_of, used, self.tasks


Counts = tuple[
    tuple[int, int],
    tuple[int, int],
    str | None,
    Work | None,
    int,
    tuple[int | None, float | None],
    Tasks | None,
]
