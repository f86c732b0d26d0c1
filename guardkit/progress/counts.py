"""Where `update` and its like leave what they are given, until a snapshot takes it.

Stores and loads in a row, without a call among them, are never interrupted: CPython switches to
another thread, a signal handler or a finaliser only at calls and at the end of loops.
"""

from guardkit.progress.snapshot import Tasks, Work


class Left:
    """What was left last, of each kind.

    clean: whether nothing has been left since a snapshot took it.
    touched: when something was done last, on the monotonic clock.
    works: how far each phase has come, by its number; 0: outside of any.
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
        "works",
    )

    def __init__(self) -> None:
        self.clean, self.touched = True, 0.0
        self.files_created = self.files_modified = self.tests_passed = self.tests_total = 0
        self.message: str | None = None
        self.works: dict[int, Work] = {}
        self.tokens: int | None = None
        self.cost_usd: float | None = None
        self.tasks: Tasks | None = None

    def take(self, phase: int) -> "Counts":
        """Return what is left, and how far a phase has come; what comes later is told of again."""
        self.clean = True
        work = self.works.get(phase)
        files, tests = (
            (self.files_created, self.files_modified),
            (self.tests_passed, self.tests_total),
        )
        return files, tests, self.message, work, (self.tokens, self.cost_usd), self.tasks


Counts = tuple[
    tuple[int, int],
    tuple[int, int],
    str | None,
    Work | None,
    tuple[int | None, float | None],
    Tasks | None,
]
