"""Feature files, `.guardkit/features/FEAT-ID.yaml`: tasks, and what they depend on."""

from contextlib import suppress
from pathlib import Path

import msgspec
import yaml

from guardkit.errors import InvalidFeatureError, nearest
from guardkit.orchestrator.tasks import Loader
from guardkit.progress.folder import Folder, open_root
from guardkit.progress.paths import HOME, check_task_id, is_task_id

FEATURES = "features"  # a folder below `.guardkit`
ENDINGS = (".yaml", ".yml")
FILE_MAX = 2**22  # bytes of a feature file
NULLS = {"", "~", "null", "Null", "NULL"}  # what YAML calls nothing


class FeatureTask(msgspec.Struct, frozen=True, kw_only=True):
    """A task as its feature tells of it.

    name: the title that people read. path: of the task's file, "" where it is not told.
    status: whatever word is there, "" for none.
    dependencies: the ids of the tasks on whose work this one is built.
    """

    id: str
    name: str
    path: str
    status: str
    dependencies: tuple[str, ...]


class Feature(msgspec.Struct, frozen=True, kw_only=True):
    """What a feature file tells; groups: the ids of each wave, () where it tells of none."""

    id: str
    name: str
    tasks: tuple[FeatureTask, ...]
    groups: tuple[tuple[str, ...], ...]


class _Task(msgspec.Struct):
    id: str
    name: str = ""
    file_path: str = ""
    status: str = ""
    dependencies: list[str] | str = ""


class _Orchestration(msgspec.Struct):
    parallel_groups: list[list[str]] | str = ""


class _Feature(msgspec.Struct):
    id: str
    tasks: list[_Task]
    name: str = ""
    orchestration: _Orchestration | str = ""


def load_feature(root: Path, feature_id: str) -> Feature:
    """Return what the file of a feature tells; raises InvalidFeatureError, in one line."""
    with open_features(root) as folder:
        name = find_file(folder, feature_id)
        text = read_text(folder, name)
    try:
        feature = parse(text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        why = " ".join(str(error).split())
        raise InvalidFeatureError(f"{folder.path}/{name} is no feature file: {why}") from error
    if feature.id != feature_id:
        what = f"{folder.path}/{name} has 'id: {feature.id}': give both the same name"
        raise InvalidFeatureError(what)
    return feature


def parse(text: str) -> Feature:
    """Return what the text of a feature file tells; raises ValueError, yaml.YAMLError."""
    read = msgspec.convert(yaml.load(text, Loader), _Feature)  # noqa: S506 - it makes text alone
    orchestration = read.orchestration
    groups = "" if isinstance(orchestration, str) else orchestration.parallel_groups
    tasks = (
        FeatureTask(
            id=check_task_id(task.id),
            name=" ".join(_said(task.name).split()) or task.id,
            path=_said(task.file_path),
            status=_said(task.status),
            dependencies=_ids(task.dependencies),
        )
        for task in read.tasks
    )
    return Feature(
        id=check_task_id(read.id),
        name=" ".join(_said(read.name).split()) or read.id,
        tasks=tuple(tasks),
        groups=() if isinstance(groups, str) else tuple(tuple(wave) for wave in groups if wave),
    )


def _said(word: str) -> str:
    return "" if word in NULLS else word


def _ids(words: list[str] | str) -> tuple[str, ...]:
    given = [words] if isinstance(words, str) else words
    return tuple(dict.fromkeys(filter(_said, given)))


def open_features(root: Path) -> Folder:
    """Return the folder of the feature files; raises InvalidFeatureError."""
    try:
        with open_root(root) as top, top.folder(HOME) as home:
            return home.folder(FEATURES)
    except OSError as error:
        where = f"{root / HOME / FEATURES}"
        raise InvalidFeatureError(f"there is no feature in {where}: {error.strerror}") from error


def find_file(folder: Folder, feature_id: str) -> str:
    """Return the name of the file of a feature; raises InvalidFeatureError."""
    names, wanted = folder.names(), check_task_id(feature_id)
    for ending in ENDINGS:
        if f"{wanted}{ending}" in names:
            return f"{wanted}{ending}"
    known = [name.rpartition(".")[0] for name in names if name.endswith(ENDINGS)]
    near = nearest(wanted, filter(is_task_id, known)) or ": write it"
    raise InvalidFeatureError(f"there is no {folder.path}/{wanted}.yaml{near}")


def read_text(folder: Folder, name: str) -> str:
    """Return the text of a file, its line ends as they are; raises InvalidFeatureError."""
    try:
        content = folder.read(name, FILE_MAX)
        with suppress(UnicodeDecodeError):
            return content.decode()
        why = "it is not UTF-8 text"
    except OSError as error:
        why = f"{error.strerror}"
    raise InvalidFeatureError(f"{folder.path}/{name} cannot be read: {why}")
