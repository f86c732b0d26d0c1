"""The subjects of both streams: escaped, reversible, and told apart from those of others."""

import pytest

from guardkit.nats.streams import events_subject, read_subject, status_subject

NAMES = pytest.mark.parametrize(
    ("task_id", "project", "token"),
    [
        pytest.param("TASK-FB-002", "", "TASK-FB-002", id="plain"),
        pytest.param("v1.2.3", "", "v1%2E2%2E3", id="with dots"),
        pytest.param("TASK-1", "shop", "shop:TASK-1", id="of a project"),
        pytest.param("v1.2", "shop.web", "shop%2Eweb:v1%2E2", id="of a project, with dots"),
        pytest.param("a" * 128, "b" * 128, f"{'b' * 128}:{'a' * 128}", id="of full length"),
    ],
)


@NAMES
def test_documents_have_the_subject_of_their_task(task_id: str, project: str, token: str) -> None:
    subject = status_subject(task_id, project)
    assert subject == f"guardkit.builds.{token}.status"
    assert read_subject(subject) == (project, task_id, "")


@NAMES
def test_events_have_the_subject_of_their_run(task_id: str, project: str, token: str) -> None:
    subject = events_subject(task_id, "0123456789abcdef", project)
    assert subject == f"guardkit.builds.{token}.events.0123456789abcdef"
    assert read_subject(subject) == (project, task_id, "0123456789abcdef")


def test_all_runs_of_a_task_are_a_wildcard() -> None:
    assert events_subject("TASK-1", "*") == "guardkit.builds.TASK-1.events.*"


@pytest.mark.parametrize("subject", ["", "guardkit.builds.", "guardkit.builds.*.status"])
@pytest.mark.parametrize("prefix", ["", "pipeline."])
def test_what_is_of_no_task_is_of_none(prefix: str, subject: str) -> None:
    assert read_subject(prefix + subject) == ("", "", "")


@pytest.mark.parametrize(
    "subject",
    [
        pytest.param("pipeline.build-started.TASK-1", id="of nats-core"),
        pytest.param("x.guardkit.builds.TASK-1.status", id="with something before it"),
        pytest.param("guardkit.builds.TASK-1", id="without a kind"),
        pytest.param("guardkit.builds.TASK-1.other", id="of another kind"),
        pytest.param("guardkit.builds.TASK-1.status.more", id="with something behind it"),
        pytest.param("guardkit.builds.TASK-1.events", id="of events, without a run"),
        pytest.param("guardkit.builds.TASK-1.events.", id="of events, with an empty run"),
        pytest.param("guardkit.builds.TASK-1.other.0123", id="of another kind, with a run"),
        pytest.param("guardkit.builds..status", id="without a task"),
        pytest.param("guardkit.builds.-1.status", id="of what is no task"),
        pytest.param("guardkit.builds.a/b.status", id="of a path"),
        pytest.param("guardkit.builds.v1%2e2.status", id="escaped otherwise"),
        pytest.param("guardkit.builds.%54ASK-1.status", id="escaped without need"),
        pytest.param("guardkit.builds.:TASK-1.status", id="of a project without a name"),
    ],
)
def test_no_other_subject_is_taken_for_that_of_a_task(subject: str) -> None:
    assert read_subject(subject) == ("", "", "")
