"""The report as JSON, for programs. Times are seconds, from the beginning of the build."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from guardkit.places.records import escape
from guardkit.places.timeline.shares import find_shares

if TYPE_CHECKING:
    from guardkit.places.report.material import Report


def record(report: Report) -> str:
    """Return a report as an object: build, tasks, gaps, where the time went, comparison."""
    timeline = report.timeline
    found: dict[str, object] = {
        "task_id": timeline.build.task_id,
        "run_id": timeline.build.run_id,
        "state": timeline.build.state,
        "seconds": round(timeline.build.seconds, 3),
        "is_live": timeline.is_live,
        "shares": msgspec.to_builtins(find_shares(timeline)),
        "compared_with": report.scope or None,
        "compared": msgspec.to_builtins(report.compared),
        "expected": msgspec.to_builtins(report.expected),
        "timeline": msgspec.to_builtins(timeline),
        "progress": msgspec.to_builtins(report.snapshot),
    }
    return escape(found, indent=2) + "\n"
