"""Task files: Markdown with YAML frontmatter, anywhere below `tasks/`."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO, TextIOWrapper
from pathlib import Path

import msgspec
import yaml

from guardkit.errors import InvalidTaskError, TaskNotFoundError, nearest
from guardkit.progress.folder import read_file
from guardkit.progress.paths import check_task_id

FRONT_MAX = 2**16  # bytes of a file in which its frontmatter has to be
_FRONTMATTER = re.compile(r"---[ \t]*\n(.*?\n)??---[ \t]*(?:\n|\Z)", re.DOTALL)
_HELD = r"""(?m)^\s*["']?id["']?\s*:\s*["']?{}(?![\w.-])"""  # a line with an id
# It makes nothing but text, lists and mappings: no date can be a wrong one.
Loader = yaml.CBaseLoader if yaml.__with_libyaml__ else yaml.BaseLoader


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A task by the id in its frontmatter; `title` is one line, the id where there is none."""

    id: str
    title: str
    path: Path


class _Frontmatter(msgspec.Struct):
    id: str
    title: str = ""


def load_task(path: Path) -> Task:
    """Read a task file; raises InvalidTaskError, one line that names it and what to mend."""
    try:
        read = yaml.load(_read_frontmatter(path), Loader)  # noqa: S506
        if read is not None:
            front = msgspec.convert(read, _Frontmatter)
            title = " ".join(front.title.split()) or front.id
            return Task(id=check_task_id(front.id), title=title, path=path.absolute())
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        begin = "a task file is UTF-8 text and begins with YAML: '---', 'id: …' and '---'"
        raise InvalidTaskError(f"{path}: {begin}: {' '.join(str(error).split())}") from error
    remedy = "begin it with '---', 'id: …', '---'"
    raise InvalidTaskError(f"{path}: it has no YAML frontmatter: {remedy}")


def _read_frontmatter(path: Path) -> str:
    """Return the frontmatter of a file, "" where its beginning has none; raises OSError."""
    begin = read_file(path, FRONT_MAX)
    if len(begin) == FRONT_MAX:  # half a character could not be decoded
        begin = begin[: begin.rfind(b"\n") + 1]
    match = _FRONTMATTER.match(TextIOWrapper(BytesIO(begin), "utf-8-sig").read())
    return match[1] or "" if match else ""


def find_task(task_id: str, root: Path) -> Task:
    """Return the one task below `root`/tasks whose frontmatter carries exactly `task_id`.

    Raises InvalidTaskIdError; TaskNotFoundError; InvalidTaskError where several files carry the
    id, or none does and a broken one holds it, or is named for it (`TASK-1.md`,
    `TASK-1-some-words.md`). Where there is none, the message names the id that is most like it.
    """
    check_task_id(task_id)
    return TaskFiles(root / "tasks").find(task_id)


class TaskFiles:
    """The task files below a folder, as they are now: each is read once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tasks: dict[str, list[Task]] = {}
        self._broken: list[tuple[Path, InvalidTaskError]] = []
        for path in sorted(_find_files(folder)):
            try:
                task = load_task(path)
            except InvalidTaskError as error:
                self._broken.append((path, error))
            else:
                self._tasks.setdefault(task.id, []).append(task)

    def find(self, task_id: str) -> Task:
        """Return the one task that carries an id; raises as `find_task` does."""
        found = self._tasks.get(task_id, [])
        if len(found) > 1:
            paths = ", ".join(str(task.path) for task in found)
            raise InvalidTaskError(f"{task_id} is in several task files, keep one of them: {paths}")
        if found:
            return found[0]
        held = re.compile(_HELD.format(re.escape(task_id)))
        for path, error in self._broken:
            if f"{path.stem}-".startswith(f"{task_id}-") or held.search(_begin(path)):
                raise error
        missing = f"no task file below {self._folder} has 'id: {task_id}' in its frontmatter"
        raise TaskNotFoundError(missing + (nearest(task_id, self._tasks) or ": write one"))


def _begin(path: Path) -> str:
    """Return the beginning of a file, whatever it is; "" where it cannot be read."""
    with suppress(OSError):
        return read_file(path, FRONT_MAX).decode(errors="replace")
    return ""


def _find_files(folder: Path) -> Iterator[Path]:
    """Yield the Markdown files below a folder, however deep, but not through links to folders."""
    folders = [folder]
    while folders:
        with suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(Path(entry))
                elif entry.name.endswith(".md"):
                    yield Path(entry)
