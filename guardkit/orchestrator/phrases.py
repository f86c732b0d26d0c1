"""Parts of the lines that tell of a build."""

from collections.abc import Sequence

MAX_PATHS = 5  # that are named in a line


def many(number: int, noun: str) -> str:
    """Return `1 test`, or `2 tests`."""
    return f"{number} {noun}{'s' * (number != 1)}"


def some(paths: Sequence[str]) -> str:
    """Return the first of some paths, and how many more there are."""
    named, more = ", ".join(paths[:MAX_PATHS]), len(paths) - MAX_PATHS
    return f"{named} and {more} more" if more > 0 else named
