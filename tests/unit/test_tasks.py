"""Task files: what is read, and what is refused in one line."""

import os
import subprocess
import tracemalloc
from pathlib import Path

import pytest

from guardkit.errors import InvalidTaskError, InvalidTaskIdError, TaskNotFoundError
from guardkit.orchestrator.tasks import Task, find_task, load_task

SAMPLES = Path(__file__).parents[3] / "shared" / "samples" / "tasks"


def write(root: Path, name: str, text: str | bytes) -> Path:
    path = root / "tasks" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def task(task_id: str, rest: str = "") -> str:
    return f"---\nid: {task_id}\n{rest}---\n\n# A heading\n\nText.\n"


def test_a_task_has_its_id_title_and_path(tmp_path: Path) -> None:
    path = write(tmp_path, "TASK-1.md", "---\nid: TASK-1\ntitle: Add tax\n---\nDo it.\n")
    assert load_task(path) == Task(id="TASK-1", title="Add tax", path=path)


@pytest.mark.parametrize(
    ("front", "title"),
    [
        pytest.param("", "T1", id="none"),
        pytest.param("title:\n", "T1", id="empty"),
        pytest.param("title: >\n  two\n  lines\n", "two lines", id="folded"),
    ],
)
def test_a_title_is_one_line_or_the_id(tmp_path: Path, front: str, title: str) -> None:
    assert load_task(write(tmp_path, "T1.md", task("T1", front))).title == title


@pytest.mark.parametrize(
    "front",
    [
        'complexity: "4/10"',
        'wave: "N/A"',
        "created: 2025-01-31",
        "created: 2025-01-31T16:00:00Z",
        "created: 2025-13-45",
        "created: yesterday",
        "status: no",
    ],
)
def test_other_fields_may_hold_anything(tmp_path: Path, front: str) -> None:
    assert load_task(write(tmp_path, "T1.md", task("T1", f"{front}\n"))).id == "T1"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"\xef\xbb\xbf---\r\nid: T1\r\n---\r\n# Title\r\n", id="BOM and CRLF"),
        pytest.param(b"---\nid: T1\n---", id="no body"),
    ],
)
def test_files_from_other_editors_are_read(tmp_path: Path, text: bytes) -> None:
    assert load_task(write(tmp_path, "T1.md", text)).id == "T1"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("# Only a heading\n", "has no YAML frontmatter: begin", id="no frontmatter"),
        pytest.param("---\nid: T1\n", "has no YAML frontmatter: begin", id="it never ends"),
        pytest.param("---\na: b: c\n---\n", "mapping values are not", id="not YAML"),
        pytest.param("---\n" + "[" * 5000 + "\n---\n", "begins with", id="nested too deeply"),
        pytest.param("---\n- id: T1\n---\n", "Expected `object`", id="a list"),
        pytest.param("---\n---\n", "'id: …'", id="empty"),
        pytest.param("---\ntitle: x\n---\n", "missing required field `id`", id="no id"),
        pytest.param("---\nid: [T1]\n---\n", r"\$.id", id="id is a list"),
        pytest.param("---\nid: T1\ntitle: [a]\n---\n", r"\$.title", id="title is a list"),
        pytest.param("---\nid: ../T1\n---\n", "is not a task id", id="id is a path"),
        pytest.param(b"---\nid: \xff\n---\n", "UTF-8", id="not UTF-8"),
    ],
)
def test_a_file_that_is_no_task_is_refused_in_one_line(
    tmp_path: Path, text: str | bytes, reason: str
) -> None:
    path = write(tmp_path, "T1.md", text)
    with pytest.raises(InvalidTaskError, match=reason) as raised:
        load_task(path)
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidTaskError, match="No such file"):
        load_task(tmp_path / "T1.md")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    own = write(tmp_path, "ok.md", task("T1"))
    os.mkfifo(own.with_name("A.md"))
    with pytest.raises(InvalidTaskError, match="not a regular file"):
        load_task(own.with_name("A.md"))
    assert find_task("T1", root=tmp_path).path == own


@pytest.mark.parametrize("target", ["/dev/zero", "A.md"], ids=["endless", "to itself"])
def test_a_link_that_has_no_end_is_refused(tmp_path: Path, target: str) -> None:
    own = write(tmp_path, "ok.md", task("T1"))
    own.with_name("A.md").symlink_to(target)
    with pytest.raises(InvalidTaskError, match=r"not a regular file|Too many levels"):
        load_task(own.with_name("A.md"))
    assert find_task("T1", root=tmp_path).path == own


@pytest.mark.parametrize("rest", [b"", "\u20ac".encode() * 2**16], ids=["nothing", "text"])
def test_of_a_huge_file_the_beginning_is_read(tmp_path: Path, rest: bytes) -> None:
    path = write(tmp_path, "T1.md", task("T1").encode() + b"x" + rest)
    os.truncate(path, 2**40)
    tracemalloc.start()
    try:
        assert load_task(path).id == "T1"
        assert tracemalloc.get_traced_memory()[1] < 2**21
    finally:
        tracemalloc.stop()


def test_frontmatter_that_does_not_end_in_the_beginning_is_none(tmp_path: Path) -> None:
    path = write(tmp_path, "T1.md", task("T1", "# a comment\n" * 10_000))
    with pytest.raises(InvalidTaskError, match="has no YAML frontmatter"):
        load_task(path)


def test_folders_in_folders_are_looked_through_however_deep_and_a_link_to_one_is_not(
    tmp_path: Path,
) -> None:
    own = tmp_path.joinpath("tasks", *"d" * 1500, "T1.md")
    subprocess.run(["mkdir", "-p", own.parent], check=True)
    own.write_text(task("T1"))
    (tmp_path / "tasks" / "link").symlink_to(own.parent.parent)
    try:
        assert find_task("T1", root=tmp_path).path == own
    finally:
        subprocess.run(["rm", "-r", str(tmp_path / "tasks" / "d")], check=True)


def test_aliases_do_not_make_a_small_file_large(tmp_path: Path) -> None:
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        bomb += f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    assert load_task(write(tmp_path, "T1.md", task("T1", bomb))).id == "T1"


@pytest.mark.parametrize("name", ["TASK-1.md", "TASK-1-some-words.md", "deep/er/whatever.md"])
def test_a_task_is_found_by_the_id_in_its_frontmatter(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name, task("TASK-1"))
    assert find_task("TASK-1", root=tmp_path).path == path


def test_an_id_that_begins_other_ids_finds_only_its_own_task(tmp_path: Path) -> None:
    write(tmp_path, "TASK-10.md", task("TASK-10"))
    write(tmp_path, "TASK-1-A.md", task("TASK-1-A"))
    with pytest.raises(TaskNotFoundError, match="TASK-1"):
        find_task("TASK-1", root=tmp_path)
    own = write(tmp_path, "TASK-1.md", task("TASK-1"))
    assert find_task("TASK-1", root=tmp_path).path == own


@pytest.mark.parametrize(
    ("task_id", "remedy"),
    [
        ("TASK-XYY", "'id: TASK-XYY' in its frontmatter (did you mean TASK-XYZ?)"),
        ("OTHER-7", "'id: OTHER-7' in its frontmatter: write one"),
    ],
    ids=["one is near", "none is near"],
)
def test_a_mistyped_id_is_answered_with_the_nearest(
    tmp_path: Path, task_id: str, remedy: str
) -> None:
    for each in ("TASK-ABC", "TASK-XYZ"):
        write(tmp_path, f"{each}.md", task(each))
    with pytest.raises(TaskNotFoundError) as raised:
        find_task(task_id, root=tmp_path)
    assert str(raised.value) == f"no task file below {tmp_path}/tasks has {remedy}"


def test_a_file_named_for_one_task_may_hold_another(tmp_path: Path) -> None:
    write(tmp_path, "TASK-1.md", task("TASK-2"))
    with pytest.raises(TaskNotFoundError):
        find_task("TASK-1", root=tmp_path)
    assert find_task("TASK-2", root=tmp_path).id == "TASK-2"


def test_an_id_in_several_files_is_refused_and_names_them(tmp_path: Path) -> None:
    paths = [write(tmp_path, f"{folder}/TASK-1.md", task("TASK-1")) for folder in ("done", "todo")]
    with pytest.raises(InvalidTaskError, match="several") as raised:
        find_task("TASK-1", root=tmp_path)
    assert all(str(path) in str(raised.value) for path in paths)
    assert "\n" not in str(raised.value)


def test_a_broken_file_does_not_hide_another_task(tmp_path: Path) -> None:
    write(tmp_path, "TASK-0.md", "---\nsee: TASK-1: broken\n---\n")
    write(tmp_path, "README.md", "# About TASK-1\n")
    write(tmp_path, "folder.md/x", "")
    write(tmp_path, "TASK-1-words.md", "---\nbroken: TASK-1: too\n---\n")
    own = write(tmp_path, "ok.md", task("TASK-1"))
    assert find_task("TASK-1", root=tmp_path).path == own


def test_a_broken_file_that_is_named_for_the_task_says_what_is_wrong(tmp_path: Path) -> None:
    write(tmp_path, "TASK-1-add-tax.md", "---\na: b: c\n---\n")
    with pytest.raises(InvalidTaskError, match=r"TASK-1-add-tax\.md.*mapping values"):
        find_task("TASK-1", root=tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_does_not_hide_another_task(tmp_path: Path) -> None:
    write(tmp_path, "TASK-0.md", task("TASK-0")).chmod(0)
    write(tmp_path, "TASK-1.md", task("TASK-1"))
    assert find_task("TASK-1", root=tmp_path).id == "TASK-1"


def test_a_project_without_tasks_has_none(tmp_path: Path) -> None:
    with pytest.raises(TaskNotFoundError, match="TASK-1") as raised:
        find_task("TASK-1", root=tmp_path)
    assert str(tmp_path / "tasks") in str(raised.value)


@pytest.mark.parametrize("task_id", ["../../etc", "", "a/b", "/etc/passwd", "x" * 200, ".", "*"])
def test_what_is_no_id_is_refused_before_anything_is_read(tmp_path: Path, task_id: str) -> None:
    with pytest.raises(InvalidTaskIdError):
        find_task(task_id, root=tmp_path)


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the collection of real task files is not here")
def test_every_real_file_is_a_task_or_refused_in_one_line() -> None:
    loaded = refused = 0
    for path in SAMPLES.rglob("*.md"):
        try:
            read = load_task(path)
        except InvalidTaskError as error:
            assert "\n" not in str(error)  # noqa: PT017
            refused += 1
        else:
            assert read.id.startswith("TASK-")
            assert read.title
            loaded += 1
    assert loaded > 30
    assert refused < 15


@pytest.mark.parametrize(
    "text",
    [
        "---\nid: TASK-1\ntitle: a: b: c\n---\n",
        "---\n'id': 'TASK-1'\ntitle: [\n---\n",
        "id: TASK-1\n",
        "---\nid: TASK-1\ntitle: \xff",
    ],
)
def test_a_broken_file_that_holds_the_id_is_named_whatever_it_is_called(
    tmp_path: Path, text: str
) -> None:
    write(tmp_path, "add-tax.md", text)
    with pytest.raises(InvalidTaskError, match=r"add-tax\.md"):
        find_task("TASK-1", root=tmp_path)
    with pytest.raises(TaskNotFoundError):
        find_task("TASK-10", root=tmp_path)
    with pytest.raises(TaskNotFoundError):
        find_task("TASK", root=tmp_path)


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the collection of real task files is not here")
def test_real_tasks_are_found_among_broken_ones() -> None:
    root = SAMPLES.parent
    assert find_task("TASK-FB-002", root=root).title.startswith("Implement Simple Text Output")
    with pytest.raises(InvalidTaskError, match="several task files"):
        find_task("TASK-HARV-006", root=root)
    with pytest.raises(InvalidTaskError, match="mapping values"):
        find_task("TASK-020", root=root)
