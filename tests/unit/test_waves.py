from itertools import pairwise

import pytest

from guardkit.errors import InvalidFeatureError
from guardkit.orchestrator.features.file import Feature, parse
from guardkit.orchestrator.features.waves import make_waves

from ..features import feature_text

DIAMOND = {"T2": ["T1"], "T3": ["T1"], "T4": ["T2", "T3"]}


def read(text: str) -> Feature:
    return parse(text)


def waves(feature: Feature) -> list[list[str]]:
    return [[task.id for task in wave] for wave in make_waves(feature)]


def without_groups(text: str) -> str:
    return text.partition("orchestration:")[0]


def test_the_waves_are_those_that_the_file_tells() -> None:
    feature = read(feature_text([["T1"], ["T3"], ["T2"], ["T4"]], DIAMOND))
    assert waves(feature) == [["T1"], ["T3"], ["T2"], ["T4"]]


def test_without_groups_a_task_is_in_the_first_wave_after_what_it_depends_on() -> None:
    text = without_groups(feature_text([["T4", "T5", "T3", "T2", "T1"]], DIAMOND))
    assert waves(read(text)) == [["T5", "T1"], ["T3", "T2"], ["T4"]]


def test_a_wave_of_no_tasks_is_none() -> None:
    text = feature_text([["T1"], [], ["T2"]], {"T2": ["T1"]})
    assert waves(read(text)) == [["T1"], ["T2"]]


@pytest.mark.parametrize(
    ("groups", "needs", "said"),
    [
        pytest.param([], {}, "FEAT-1 has no tasks", id="no tasks"),
        pytest.param([["T1", "T1"]], {}, "FEAT-1 has two that are called T1", id="twice"),
        pytest.param([["FEAT-1"]], {}, "FEAT-1 has two that are called FEAT-1", id="the feature's"),
        pytest.param(
            [["T1"]], {"T1": ["T9"]}, "T1 depends on T9, which is no task of FEAT-1", id="unknown"
        ),
        pytest.param([["T1"]], {"T1": ["T1"]}, "a cycle: T1 needs T1", id="itself"),
        pytest.param(
            [["T0"], ["T1"], ["T2"], ["T3"]],
            {"T1": ["T0", "T3"], "T2": ["T1"], "T3": ["T2"]},
            "a cycle: T1 needs T3 needs T2 needs T1",
            id="cycle",
        ),
        pytest.param(
            [["T1", "T2"]],
            {"T2": ["T1"]},
            "T2 is in wave 1 and depends on T1, which is in wave 1",
            id="same wave",
        ),
        pytest.param(
            [["T2"], ["T1"]],
            {"T2": ["T1"]},
            "T2 is in wave 1 and depends on T1, which is in wave 2",
            id="before",
        ),
    ],
)
def test_what_cannot_be_put_into_waves_is_refused(
    groups: list[list[str]], needs: dict[str, list[str]], said: str
) -> None:
    text = feature_text(groups, needs).replace("tasks:\norch", "tasks: []\norch")
    with pytest.raises(InvalidFeatureError, match=f"^{said}$"):
        make_waves(read(text))


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ("[T1, T2], [T1]", "T1 is in two places: wave 1 and 2"),
        ("[T1], [T2, T9]", "wave 2 has T9, which is no task of FEAT-1"),
        ("[T1]", "T2 is in no wave of FEAT-1"),
    ],
    ids=["two waves", "unknown", "no wave"],
)
def test_groups_that_are_not_those_of_the_tasks_are_refused(groups: str, said: str) -> None:
    text = without_groups(feature_text([["T1", "T2"]]))
    with pytest.raises(InvalidFeatureError, match=f"^{said}$"):
        make_waves(read(f"{text}orchestration:\n  parallel_groups: [{groups}]\n"))


def test_a_long_chain_is_no_recursion() -> None:
    ids = [f"T{number}" for number in range(3000)]
    needs = {each: [before] for before, each in pairwise(ids)}
    assert len(make_waves(read(without_groups(feature_text([ids], needs))))) == 3000
