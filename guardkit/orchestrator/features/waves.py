"""In which waves the tasks of a feature are built: pure, and refused where it cannot be."""

from collections import Counter
from collections.abc import Mapping, Sequence

from guardkit.errors import InvalidFeatureError
from guardkit.orchestrator.features.file import Feature, FeatureTask

Wave = tuple[FeatureTask, ...]


def make_waves(feature: Feature) -> tuple[Wave, ...]:
    """Return the waves of a feature, in order, each in the order of its file.

    They are those that the file tells; where it tells of none, each task is in the first wave after
    all that it depends on. Raises InvalidFeatureError, in one line, for a task or a dependency that
    there is not, a cycle, a task in two waves or in none, or before what it depends on.
    """
    if not feature.tasks:
        raise InvalidFeatureError(f"{feature.id} has no tasks")
    twice = _repeated([feature.id, *(task.id for task in feature.tasks)])
    if twice:
        raise InvalidFeatureError(f"{feature.id} has two that are called {twice}")
    known = {task.id: task for task in feature.tasks}
    for task in feature.tasks:
        for each in task.dependencies:
            if each not in known:
                what = f"{task.id} depends on {each}, which is no task of {feature.id}"
                raise InvalidFeatureError(what)
    levels = _levels(known)
    if not feature.groups:
        waves: list[list[FeatureTask]] = [[] for _ in range(max(levels.values()))]
        for task in feature.tasks:
            waves[levels[task.id] - 1].append(task)
        return tuple(map(tuple, waves))
    _check(feature, known)
    return tuple(tuple(known[each] for each in group) for group in feature.groups)


def _levels(known: Mapping[str, FeatureTask]) -> dict[str, int]:
    """Return in which wave, from 1, each task may be first; raise InvalidFeatureError."""
    users: dict[str, list[str]] = {each: [] for each in known}
    open_: Counter[str] = Counter()
    for task in known.values():
        open_[task.id] = len(task.dependencies)
        for each in task.dependencies:
            users[each].append(task.id)
    levels = {each: 1 for each in known if not open_[each]}
    ready = list(levels)
    for each in ready:  # which grows
        for user in users[each]:
            levels[user] = max(levels.get(user, 1), levels[each] + 1)
            open_[user] -= 1
            if not open_[user]:
                ready.append(user)
    if len(ready) < len(known):
        raise InvalidFeatureError(f"a cycle: {' needs '.join(_cycle(known, {*ready}))}")
    return levels


def _cycle(known: Mapping[str, FeatureTask], ready: set[str]) -> list[str]:
    """Return a cycle among the tasks that are never ready, its first at its end again."""
    each = next(each for each in known if each not in ready)
    path: list[str] = []
    while each not in path:
        path.append(each)
        each = next(one for one in known[each].dependencies if one not in ready)
    return [*path[path.index(each) :], each]


def _check(feature: Feature, known: Mapping[str, FeatureTask]) -> None:
    """See that each task is in one wave, after what it depends on; raise InvalidFeatureError."""
    waves = [(each, number) for number, group in enumerate(feature.groups, 1) for each in group]
    if twice := _repeated([each for each, _ in waves]):
        numbers = " and ".join(str(number) for each, number in waves if each == twice)
        raise InvalidFeatureError(f"{twice} is in two places: wave {numbers}")
    number_of = dict(waves)
    for each, number in waves:
        if each not in known:
            what = f"wave {number} has {each}, which is no task of {feature.id}"
            raise InvalidFeatureError(what)
    for task in feature.tasks:
        if task.id not in number_of:
            raise InvalidFeatureError(f"{task.id} is in no wave of {feature.id}")
        for each in task.dependencies:
            if number_of[each] >= number_of[task.id]:
                here = f"{task.id} is in wave {number_of[task.id]}"
                what = f"{here} and depends on {each}, which is in wave {number_of[each]}"
                raise InvalidFeatureError(what)


def _repeated(words: Sequence[str]) -> str:
    """Return a word that is there twice, "" where there is none."""
    return next((word for word, number in Counter(words).items() if number > 1), "")
