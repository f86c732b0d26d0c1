import os
from pathlib import Path

import pytest

from guardkit.errors import InvalidFeatureError, InvalidTaskIdError
from guardkit.orchestrator.features.file import load_feature, parse
from guardkit.orchestrator.features.waves import make_waves

from ..features import write_feature

SAMPLES = Path(__file__).parents[3] / "shared" / "samples" / "features"


def test_a_feature_is_read_with_its_tasks(tmp_path: Path) -> None:
    write_feature(tmp_path, [["T1"], ["T2"]], {"T2": ["T1"]})
    feature = load_feature(tmp_path, "FEAT-1")
    assert (feature.id, feature.name, feature.groups) == ("FEAT-1", "Prices", (("T1",), ("T2",)))
    first, second = feature.tasks
    assert (first.id, first.name, first.path) == ("T1", "Do T1", "tasks/T1.md")
    assert (first.dependencies, first.status) == ((), "pending")
    assert second.dependencies == ("T1",)


@pytest.mark.parametrize(
    ("line", "dependencies"),
    [
        ("", ()),
        ("dependencies:", ()),
        ("dependencies: null", ()),
        ("dependencies: []", ()),
        ("dependencies: T1", ("T1",)),
        ("dependencies: [T1, T2, T1]", ("T1", "T2")),
    ],
)
def test_dependencies_are_written_in_several_ways(line: str, dependencies: tuple[str]) -> None:
    [task] = parse(f"id: F\ntasks:\n- id: T9\n  {line}\n").tasks
    assert (task.dependencies, task.name, task.status, task.path) == (dependencies, "T9", "", "")


@pytest.mark.parametrize(
    ("orchestration", "groups"),
    [
        ("orchestration:", ()),
        ("orchestration: {}", ()),
        ("orchestration: {parallel_groups: null}", ()),
        ("orchestration: {parallel_groups: [[T9]], recommended_parallel: 2}", (("T9",),)),
    ],
)
def test_waves_need_not_be_told(orchestration: str, groups: tuple[tuple[str]]) -> None:
    assert parse(f"id: F\ntasks: [{{id: T9}}]\n{orchestration}\n").groups == groups


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(b"- a\n", "Expected `object`, got `array`", id="a list"),
        pytest.param(b"id: FEAT-1\ntasks: {}\n", "Expected `array`", id="no list of tasks"),
        pytest.param(b"id: FEAT-1\ntasks: [{}]\n", "missing required field `id`", id="no id"),
        pytest.param(b"id: [\n", "is no feature file: while parsing", id="no YAML"),
        pytest.param(b"id: FEAT-1\ntasks: [{id: ../x}]\n", "'../x' is not a task id", id="path"),
        pytest.param(b"\xff\xfei\0d\0", "cannot be read: it is not UTF-8 text", id="UTF-16"),
        pytest.param(b"[" * 100_000, "is no feature file: ", id="nested"),
        pytest.param(b"id: FEAT-2\ntasks: []\n", "has 'id: FEAT-2': give both", id="another id"),
    ],
)
def test_what_is_no_feature_is_refused_in_one_line(tmp_path: Path, text: bytes, said: str) -> None:
    write_feature(tmp_path, [["T1"]]).write_bytes(text)
    with pytest.raises(InvalidFeatureError) as caught:
        load_feature(tmp_path, "FEAT-1")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_feature_that_is_not_there_is_answered_with_the_nearest_one(tmp_path: Path) -> None:
    with pytest.raises(InvalidFeatureError, match=r"there is no feature in .*/\.guardkit/features"):
        load_feature(tmp_path, "FEAT-1")
    write_feature(tmp_path, [["T1"]])
    with pytest.raises(InvalidFeatureError, match=r"/FEAT-2\.yaml \(did you mean FEAT-1\?\)$"):
        load_feature(tmp_path, "FEAT-2")


def test_no_path_is_taken_for_an_id(tmp_path: Path) -> None:
    write_feature(tmp_path, [["T1"]])
    with pytest.raises(InvalidTaskIdError):
        load_feature(tmp_path, "../FEAT-1")


def test_no_link_is_followed(tmp_path: Path) -> None:
    path = write_feature(tmp_path, [["T1"]])
    path.rename(tmp_path / "elsewhere.yaml")
    path.symlink_to(tmp_path / "elsewhere.yaml")
    with pytest.raises(InvalidFeatureError, match="it is a link, which guardkit does not follow"):
        load_feature(tmp_path, "FEAT-1")


def test_a_pipe_does_not_hang(tmp_path: Path) -> None:
    path = write_feature(tmp_path, [["T1"]])
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(InvalidFeatureError, match="it is not a regular file"):
        load_feature(tmp_path, "FEAT-1")


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the collection of real features is not here")
def test_all_real_features_have_waves() -> None:
    for path in SAMPLES.rglob("*.yaml"):
        feature = parse(path.read_text())
        waves = make_waves(feature)
        assert sorted(task.id for wave in waves for task in wave) == sorted(
            task.id for task in feature.tasks
        )
        if feature.groups:
            assert tuple(tuple(task.id for task in wave) for wave in waves) == feature.groups
