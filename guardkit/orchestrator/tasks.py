"""Task files: Markdown with YAML frontmatter, anywhere below `tasks/`."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import yaml

from guardkit.errors import InvalidTaskError, InvalidTaskIdError, TaskNotFoundError
from guardkit.progress.paths import check_task_id

MAX_TASK_BYTES = 1024 * 1024
_FRONTMATTER = re.compile(r"---[ \t]*\n(.*?\n)??---[ \t]*(?:\n|\Z)", re.DOTALL)
_HEADING = re.compile(r"^#{1,6}[ \t]+(\S.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task; `title` falls back to the first heading, then the id. `body` follows frontmatter."""

    id: str
    title: str
    path: Path
    body: str


def load_task(path: Path | str) -> Task:
    """Read a task file; raises InvalidTaskError, one line that names it and what to mend."""
    path = Path(path).absolute()
    return _parse(path, _read(path))


def find_task(task_id: str, *, root: Path | str) -> Task:
    """Return the one task below `root`/tasks whose frontmatter carries exactly `task_id`.

    Raises InvalidTaskIdError; TaskNotFoundError; InvalidTaskError where several files carry the
    id, or none does and a broken one is named for it (`TASK-1.md`, `TASK-1-some-words.md`).
    """
    named_for_it = re.compile(re.escape(check_task_id(task_id)) + r"(-[a-z].*)?\.md")
    folder = Path(root).absolute() / "tasks"
    found: list[Task] = []
    broken: list[InvalidTaskError] = []
    for path in sorted(path for path in folder.rglob("*.md") if path.is_file()):
        named = named_for_it.fullmatch(path.name) is not None
        try:
            text = _read(path)
            # Parsing YAML is slow, and projects hold thousands of tasks: most need none.
            if (named or task_id in text) and (task := _parse(path, text)).id == task_id:
                found.append(task)
        except InvalidTaskError as error:
            broken += [error] if named else []
    if len(found) > 1:
        paths = ", ".join(str(task.path) for task in found)
        raise InvalidTaskError(f"{task_id} is in several task files, keep one of them: {paths}")
    missing = f"no task file below {folder} has 'id: {task_id}' in its frontmatter: write one"
    if not found:
        raise broken[0] if broken else TaskNotFoundError(missing)
    return found[0]


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_TASK_BYTES + 1)
        if len(raw) > MAX_TASK_BYTES:
            raise InvalidTaskError(f"{path}: larger than 1 MiB, cut it down")
        return raw.decode("utf-8-sig").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidTaskError(f"{path}: cannot be read as UTF-8 text: {error}") from error


def _parse(path: Path, text: str) -> Task:
    match = _FRONTMATTER.match(text)
    if match is None:
        raise InvalidTaskError(f"{path}: no YAML frontmatter: begin it with ---, 'id: …' and ---")
    try:
        # BaseLoader makes nothing but text, lists and mappings: no date can be a wrong one.
        front = yaml.load(match[1] or "", Loader=yaml.BaseLoader)  # noqa: S506
        fields = cast("dict[str, object]", front) if isinstance(front, dict) else {}
        task_id, title, body = fields.get("id"), fields.get("title"), text[match.end() :]
        if not isinstance(task_id, str) or not task_id:
            raise InvalidTaskError(f"{path}: no id in the frontmatter: write 'id: …' into it")
        check_task_id(task_id)
    except (yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InvalidTaskError(f"{path}: the frontmatter is not YAML: {reason}") from error
    except InvalidTaskIdError as error:
        raise InvalidTaskError(f"{path}: {error}") from error
    if not isinstance(title, str) or not title.strip():
        heading = _HEADING.search(body)
        title = heading[1] if heading else task_id
    return Task(id=task_id, title=" ".join(title.split()), path=path, body=body)
