import pytest

from guardkit.orchestrator.features.file import FeatureTask
from guardkit.orchestrator.features.results import Ending, Result, Results


def task(task_id: str, *needs: str) -> FeatureTask:
    return FeatureTask(id=task_id, name=task_id, path="", status="", dependencies=needs)


def after(*endings: tuple[str, Ending], stop: bool = False) -> Results:
    results = Results(7, stop=stop)
    for task_id, ending in endings:
        results.end(Result(task_id=task_id, ending=ending, tip=f"{task_id}-tip"))
    return results


def test_how_far_a_feature_is_stands_in_a_line() -> None:
    results = after(("T1", "completed"), ("T2", "completed"), ("T3", "failed"))
    assert results.message == "2 of 7 tasks; T3 failed"
    results.begin("T4")
    results.begin("T5")
    assert results.message == "2 of 7 tasks; T3 failed; running T4, T5"
    results.end(Result(task_id="T4", ending="completed"))
    assert results.message == "3 of 7 tasks; T3 failed; running T5"
    assert results.completed == "3 of 7 tasks"


@pytest.mark.parametrize(
    ("endings", "message"),
    [
        pytest.param([], "0 of 7 tasks; running T1; next T2", id="the rest of the wave"),
        pytest.param([("T2", "completed")], "1 of 7 tasks; running T1; next T3, T4", id="a wave"),
        pytest.param(
            [("T2", "failed")],
            "0 of 7 tasks; T2 failed; running T1; next T3",
            id="not what depends on a failed one",
        ),
        pytest.param(
            [("T2", "refused"), ("T3", "completed")],
            "1 of 7 tasks; running T1",
            id="nor what depends on that",
        ),
    ],
)
def test_what_comes_next_is_told(endings: list[tuple[str, Ending]], message: str) -> None:
    waves = [[task("T1"), task("T2")], [task("T3"), task("T4", "T2")], [task("T5", "T4")]]
    results = Results(7, stop=False, waves=waves)
    results.begin("T1")
    for task_id, ending in endings:
        results.end(Result(task_id=task_id, ending=ending))
    assert results.message == message


def test_nothing_comes_next_where_a_failure_stops_all() -> None:
    results = Results(7, stop=True, waves=[[task("T1")], [task("T2")]])
    results.end(Result(task_id="T1", ending="failed"))
    assert results.message == "0 of 7 tasks; T1 failed"


@pytest.mark.parametrize(
    ("ending", "why"),
    [
        ("completed", ""),
        ("passed over", ""),
        ("failed", "T1 has failed"),
        ("refused", "T1 was not built here"),
        ("not started", "T1 was not started"),
    ],
)
def test_a_task_starts_when_all_that_it_depends_on_is_completed(ending: Ending, why: str) -> None:
    results = after(("T0", "completed"), ("T1", ending))
    assert results.forbids(task("T2", "T0", "T1")) == why
    assert results.forbids(task("T3", "T0")) == ""


def test_what_was_passed_over_is_not_called_completed() -> None:
    results = after(("T1", "passed over"), ("T2", "completed"))
    assert (results.good, results.bad) == ("1 task completed, 1 passed over", [])
    assert after(("T1", "completed"), ("T2", "completed")).good == "2 tasks completed"


def test_after_a_failure_nothing_starts_where_that_is_wanted() -> None:
    results = after(("T1", "failed"), stop=True)
    assert results.forbids(task("T2")) == "T1 has failed, and --stop-on-failure is given"


def test_a_task_begins_on_what_those_before_it_have_come_to_and_no_others() -> None:
    results = after(("T1", "completed"), ("T2", "completed"), ("T3", "completed"))
    results.end(Result(task_id="T4", ending="completed"))
    assert results.tips(["T3", "T1", "T4"]) == {"T3": "T3-tip", "T1": "T1-tip"}
