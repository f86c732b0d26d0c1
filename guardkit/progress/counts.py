"""Where `update` and its like leave what they are given, until a snapshot takes it.

Stores and loads in a row, without a call among them, are never interrupted: CPython switches to
another thread, a signal handler or a finaliser only at calls and at the end of loops.
"""

from msgspec import Struct

from guardkit.progress.snapshot import Tasks, Work


class Counts(Struct, frozen=True, gc=False):
    """What was left, at one instant; `tokens` and `cost_usd` are None as long as none were."""

    files_created: int = 0
    files_modified: int = 0
    tests_passed: int = 0
    tests_total: int = 0
    message: str | None = None
    work: Work | None = None
    tokens: int | None = None
    cost_usd: float | None = None
    tasks: Tasks | None = None


class Left:
    """What was left last, of each kind, as in `Counts`.

    clean: whether nothing has been left since a snapshot took it.
    touched: when something was done last, on the monotonic clock.
    works: how far each phase has come, by its number; 0: outside of any.
    """

    __slots__ = (
        *(name for name in Counts.__struct_fields__ if name != "work"),
        *("clean", "touched", "works"),
    )

    def __init__(self) -> None:
        self.clean, self.touched = True, 0.0
        self.files_created = self.files_modified = self.tests_passed = self.tests_total = 0
        self.message: str | None = None
        self.works: dict[int, Work] = {}
        self.tokens: int | None = None
        self.cost_usd: float | None = None
        self.tasks: Tasks | None = None

    def take(self, phase: int) -> Counts:
        """Return what is left, and how far a phase has come; what comes later is told of again."""
        self.clean = True
        work = self.works.get(phase)
        return Counts(
            self.files_created,
            self.files_modified,
            self.tests_passed,
            self.tests_total,
            self.message,
            work,
            self.tokens,
            self.cost_usd,
            self.tasks,
        )
