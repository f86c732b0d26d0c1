import difflib
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from guardkit.orchestrator.features import status_file
from guardkit.orchestrator.features.file import parse
from guardkit.orchestrator.features.status_file import StatusFile, find_places, read_places

from ..features import feature_text, write_feature

SAMPLES = Path(__file__).parents[3] / "shared" / "samples" / "features"
MESS = """\
# a comment with: colons
id: "FEAT-1"   # é😀
status:   'planned'     # kept
tasks:
  - {id: T1, status: pending, name: "a: b"}
  -   status:\t"pending"
      id: 'T2'
      name: >
        status: pending
  - id: T3
    status:
  - id: T4
    status: !!str   pending    # tagged
  - id: T5
    status: ~
  - id: T6
    name: no status
  - id: T7
    status: *same
  - id: T8
    status: |
      pending
"""


def splice(text: str, words: Mapping[str, str]) -> str:
    """Return the text with other words; see that it is known where they are then."""
    new = status_file.splice(read_places(text), words)
    assert new.places == find_places(new.text)
    return new.text


def changes(before: str, after: str) -> list[str]:
    lines = difflib.ndiff(before.splitlines(), after.splitlines())
    return [line for line in lines if line[0] in "+-"]


def test_a_word_of_status_is_replaced_and_nothing_else() -> None:
    text = feature_text([["T1", "T2"]])
    new = splice(text, {"T2": "completed", "FEAT-1": "failed"})
    assert changes(text, new) == [
        "- status: planned  # by hand",
        "+ status: failed  # by hand",
        "-   status: pending",
        "+   status: completed",
    ]
    assert new.index("completed") > new.index("T2")


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["unix", "dos"])
@pytest.mark.parametrize("begin", ["", "\ufeff"], ids=["plain", "byte order mark"])
def test_quotes_comments_and_line_ends_stay(begin: str, end: str) -> None:
    text = begin + MESS.replace("id: T1,", "id: &x T1,").replace("*same", "~").replace("\n", end)
    words = dict.fromkeys(["FEAT-1", *(f"T{number}" for number in range(1, 9))], "completed")
    new = splice(text, words)
    assert new.count(end) == text.count(end)
    assert changes(text, new) == [
        "- status:   'planned'     # kept",
        "+ status:   'completed'     # kept",
        '-   - {id: &x T1, status: pending, name: "a: b"}',
        '+   - {id: &x T1, status: completed, name: "a: b"}',
        '-   -   status:\t"pending"',
        '+   -   status:\t"completed"',
        "-     status:",
        "+     status: completed",
        "-     status: !!str   pending    # tagged",
        "+     status: !!str   completed    # tagged",
        "-     status: ~",
        "+     status: completed",
        "-     status: ~",
        "+     status: completed",
    ]
    read = parse(new.removeprefix("\ufeff"))
    assert [task.status for task in read.tasks if task.id in {"T1", "T2", "T3", "T4", "T5"}] == [
        "completed"
    ] * 5


def test_a_word_that_stands_for_several_stays() -> None:
    text = "id: F\ntasks:\n- {id: T1, status: &s pending}\n- {id: T2, status: *s}\n"
    assert splice(text, {"T1": "failed", "T2": "failed"}) == text


@given(
    st.lists(st.sampled_from(["pending", "'x y'", '"\\u00e9"', "é", "", "null"]), max_size=6),
    st.text("abé😀 #'\"-:", max_size=12),
    st.dictionaries(st.sampled_from(["T0", "T1", "T2", "T9"]), st.just("completed")),
)
def test_whatever_stands_around_it_only_the_words_change(
    statuses: list[str], noise: str, words: dict[str, str]
) -> None:
    lines = [f"# {noise}", "id: F", "tasks:" if statuses else "tasks: []"]
    for number, status in enumerate(statuses):
        name = noise.replace("'", "''")
        lines += [f"- name: '{name}'", f"  id: T{number}", f"  status: {status}".rstrip()]
    text = "\n".join(lines) + "\n"
    new = splice(text, words)
    before, after = yaml.safe_load(text), yaml.safe_load(new)
    for task in before["tasks"]:
        if task["id"] in words:
            task["status"] = "completed"
    assert after == before


def test_the_file_keeps_its_mode_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = write_feature(tmp_path, [["T1"]])
    path.chmod(0o640)
    assert StatusFile(tmp_path, "FEAT-1").update({"T1": "failed"}) == ""
    assert "status: failed" in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(path.parent) == ["FEAT-1.yaml"]


def test_a_file_that_tells_so_already_is_not_written(tmp_path: Path) -> None:
    path = write_feature(tmp_path, [["T1"]])
    before = path.stat().st_ino
    assert StatusFile(tmp_path, "FEAT-1").update({"T1": "pending"}) == ""
    assert path.stat().st_ino == before


def test_what_somebody_has_written_meanwhile_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, edits = write_feature(tmp_path, [["T1"]]), iter(["# one\n", "# two\n"])

    def edit(fd: int, document: bytes) -> None:
        os.write(fd, document)
        with path.open("a") as file:
            file.write(next(edits, ""))

    monkeypatch.setattr(status_file, "write_all", edit)
    assert StatusFile(tmp_path, "FEAT-1").update({"T1": "failed"}) == ""
    assert path.read_text().endswith("# one\n# two\n")
    assert "  status: failed\n" in path.read_text()
    assert os.listdir(path.parent) == ["FEAT-1.yaml"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "there is no .*FEAT-1.yaml"),
        (b"a: [", "the status cannot be written: while parsing"),
        (b"\xff", "the status cannot be written: 'utf-8' codec"),
    ],
    ids=["gone", "no YAML", "no UTF-8"],
)
def test_what_is_in_the_way_is_told(tmp_path: Path, text: bytes | None, said: str) -> None:
    path = write_feature(tmp_path, [["T1"]])
    path.unlink() if text is None else path.write_bytes(text)
    assert re.search(said, StatusFile(tmp_path, "FEAT-1").update({"T1": "failed"}))


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the collection of real features is not here")
def test_real_features_survive_twenty_updates() -> None:
    for path in SAMPLES.rglob("*.yaml"):
        text = path.read_bytes().decode()
        ids = [task.id for task in parse(text).tasks]
        new = text
        for number in range(20):
            new = splice(new, {ids[number % len(ids)]: f"word-{number}"})
        lines = [line for line in changes(text, new) if not line.strip("+- ").startswith("status:")]
        assert lines == []
        assert len(changes(text, new)) == 2 * min(20, len(ids))
