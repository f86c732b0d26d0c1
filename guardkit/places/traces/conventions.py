"""What a span says: in the names of OpenTelemetry's conventions for CI/CD, and in our own.

https://opentelemetry.io/docs/specs/semconv/cicd/cicd-spans/. The names are written out, as the
constants for them are still in a private module.
"""

import re

from guardkit.places.plain import clean
from guardkit.progress.journal import CRASHED
from guardkit.progress.snapshot import Snapshot

RESULTS = {"completed": "success", "failed": "failure", "cancelled": "cancellation"}
BAD = frozenset({"failure", "error", "timeout"})  # results
TIMEOUTS = frozenset({"timeout", "timeout_budget_exhausted"})  # decisions
ERROR_TYPE = re.compile(r"([A-Za-z_]\w{0,63})(?::|$)")  # how a text begins that names one

PID_MAX = 2**31 - 1

Attributes = dict[str, str | int | float]


def build_result(now: Snapshot) -> str:
    """Return the result of a build that has ended: of one that has died it is `error`."""
    result = RESULTS.get(now.status, "failure")
    if result == "failure" and (now.error or "").startswith(CRASHED):
        return "error"
    return "timeout" if result == "failure" and now.decision in TIMEOUTS else result


def name_of(unit: str, number: int, first: Snapshot) -> str:
    """Return the name of a span.

    That is `BUILD TASK-1`, `wave 1`, the id alone of a feature's task, `turn 1`, or a phase's own.

    first: the snapshot that it began with.
    """
    if unit == "build":
        return first.task_id if first.tracker.parent_run else f"BUILD {first.task_id}"
    return clean(first.phase) if unit == "phase" else f"{unit} {number}"


def by_convention(unit: str, number: int, first: Snapshot, result: str) -> Attributes:
    """Return the attributes that any tool for CI/CD knows: a build is a run, all in it are tasks.

    first: the snapshot that the span began with.
    """
    run_id, feature = first.tracker.run_id, first.tracker.parent_run
    found: Attributes = {
        "cicd.pipeline.name": clean(first.build_id),
        "cicd.pipeline.run.id": feature or run_id,
    }
    if unit == "build" and not feature:
        return found | {"cicd.pipeline.action.name": "BUILD", "cicd.pipeline.result": result}
    return found | {
        "cicd.pipeline.task.name": name_of(unit, number, first),
        "cicd.pipeline.task.run.id": run_id if unit == "build" else f"{run_id}/{unit}/{number}",
        "cicd.pipeline.task.run.result": result,
    }


def our_own(unit: str, now: Snapshot, result: str) -> Attributes:
    """Return the attributes that only guardkit has, and what every tool knows of errors and hosts.

    now: the snapshot that the span ended with.
    """
    found: Attributes = {"guardkit.unit": unit, "guardkit.task.id": now.task_id}
    if unit == "build":
        found |= {"guardkit.task.name": clean(now.task_name)}
        found |= {
            "host.name": clean(now.tracker.host),
            "process.pid": min(now.tracker.pid, PID_MAX),
        }
    if result in BAD:
        found["error.type"] = _error_type(unit, now, result)
    counts = {
        "files.created": now.metrics.files_created,
        "files.modified": now.metrics.files_modified,
        "tests.passed": now.metrics.tests_passed,
        "tests.total": now.metrics.tests_total,
        "usage.tokens": now.usage.tokens if now.usage else 0,
        "usage.cost_usd": now.usage.cost_usd if now.usage else 0.0,
    }
    found |= {f"guardkit.{name}": number for name, number in counts.items()}
    return {name: value for name, value in found.items() if value}


def _error_type(unit: str, now: Snapshot, result: str) -> str:
    """Return the class of an error in a word: an exception's type, or what has ended a build."""
    if result == "timeout":
        return result
    named, decision = ERROR_TYPE.match(now.error or ""), clean(now.decision)
    return named[1] if named else (unit == "build" and decision) or "_OTHER"
