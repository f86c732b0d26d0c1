from typing import Any

import pytest

from guardkit import Snapshot
from guardkit.orchestrator.features.file import FeatureTask
from guardkit.orchestrator.features.standing import Facts, Kind, stand

from ..looks import task

TIP = "a" * 40


def told(status: str) -> FeatureTask:
    return FeatureTask(id="T1", name="T1", path="", status=status, dependencies=())


def last(status: str) -> Snapshot:
    return task("T1", 5, status=status)


@pytest.mark.parametrize(
    ("status", "facts", "resume", "retry", "kind"),
    [
        pytest.param("pending", {}, False, False, "new", id="new"),
        pytest.param("whatever", {}, False, False, "new", id="a word of somebody's"),
        pytest.param("failed", {}, False, False, "new", id="failed elsewhere"),
        pytest.param("failed", {}, True, False, "failed", id="failed elsewhere, resumed"),
        pytest.param("completed", {}, False, False, "completed", id="completed by the file"),
        pytest.param("pending", {"tip": TIP}, False, False, "left over", id="a branch"),
        pytest.param("pending", {"is_there": True}, False, False, "left over", id="a worktree"),
        pytest.param("pending", {"tip": TIP, "is_taken": True}, False, False, "new", id="taken"),
        pytest.param("pending", {"tip": TIP}, True, False, "interrupted", id="no document"),
        pytest.param(
            "pending",
            {"tip": TIP, "last": last("completed")},
            True,
            False,
            "completed",
            id="completed by its document",
        ),
        pytest.param(
            "pending", {"last": last("completed")}, True, False, "new", id="its branch is gone"
        ),
        pytest.param(
            "pending", {"tip": TIP, "last": last("failed")}, True, False, "failed", id="failed"
        ),
        pytest.param(
            "failed", {"tip": TIP, "last": last("failed")}, True, True, "again", id="retried"
        ),
        pytest.param(
            "failed",
            {"tip": TIP, "last": last("cancelled")},
            True,
            False,
            "interrupted",
            id="ended",
        ),
        pytest.param(
            "pending", {"tip": TIP, "last": last("running")}, True, True, "interrupted", id="killed"
        ),
    ],
)
def test_how_a_task_is(
    status: str, facts: dict[str, Any], *, resume: bool, retry: bool, kind: Kind
) -> None:
    standing = stand(told(status), Facts(**facts), resume=resume, retry=retry)
    assert standing.kind == kind
    assert standing.tip == (TIP if kind == "completed" and facts.get("tip") else "")
    assert standing.runs == (kind in {"new", "again", "interrupted"})


def test_the_branch_of_a_later_try_is_not_what_was_completed() -> None:
    facts = Facts(tip=TIP, last=last("failed"))
    standing = stand(told("completed"), facts, resume=True, retry=False)
    assert (standing.kind, standing.tip, standing.document) == ("completed", "", None)


def test_a_task_is_adopted_only_by_a_document_that_tells_of_the_same_end() -> None:
    facts = Facts(tip=TIP, last=last("completed"))
    assert stand(told("pending"), facts, resume=True, retry=False).document == facts.last
    facts = Facts(tip=TIP, last=last("running"))
    assert stand(told("completed"), facts, resume=True, retry=False).document is None
