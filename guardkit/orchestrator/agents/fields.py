"""What stands in a line of JSON that somebody else has written: looked up, never relied upon.

Each function takes a value and the keys that lead from it to another one, through nested objects.
"""

import json
import math
import re
from typing import cast

from guardkit.progress.snapshot import COST_MAX, COUNT_MAX

NAME = re.compile(r"\w[\w.:-]{0,199}", re.ASCII)


def parse(line: bytes) -> object:
    """Return the value in a line, None where there is none.

    Bytes that are no UTF-8 become U+FFFD. The standard library reads lone surrogates, which agents
    written in JavaScript leave where they cut an emoji in two; msgspec refuses the whole line.
    """
    try:
        return json.loads(line.decode(errors="replace"))
    except (ValueError, RecursionError):
        return None


def at(value: object, *keys: str) -> object:
    """Return what stands there, None where anything on the way is no object."""
    for key in keys:
        value = _map(value).get(key)
    return value


def text(value: object, *keys: str) -> str:
    """Return the text that stands there, "" where there is none."""
    found = at(value, *keys)
    return found if isinstance(found, str) else ""


def name(value: object, *keys: str) -> str:
    """Return the text that stands there, "" unless it can be an argument of a command line."""
    found = text(value, *keys)
    return found if NAME.fullmatch(found) else ""


def items(value: object, *keys: str) -> list[object]:
    """Return the list that stands there, an empty one where there is none."""
    found = at(value, *keys)
    return cast("list[object]", found) if isinstance(found, list) else []


def values(value: object, *keys: str) -> list[object]:
    """Return the values of the object that stands there, none where there is no object."""
    return list(_map(at(value, *keys)).values())


def count(value: object, *keys: str) -> int:
    """Return the whole number that stands there, from 0 to `COUNT_MAX`; 0 where there is none."""
    found = at(value, *keys)
    if isinstance(found, bool) or not isinstance(found, int):
        return 0
    return min(max(found, 0), COUNT_MAX)


def amount(value: object, *keys: str) -> float:
    """Return the number that stands there, from 0 to `COST_MAX`; 0 where there is none."""
    found = at(value, *keys)
    if isinstance(found, bool) or not isinstance(found, int | float):
        return 0.0
    bounded = min(max(found, 0), COST_MAX)  # of an integer of any size, too
    return 0.0 if math.isnan(bounded) else float(bounded)


def _map(value: object) -> dict[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}
