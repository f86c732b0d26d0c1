"""The report as Chrome's trace events, for Perfetto, speedscope and their like.

Times are microseconds since the beginning. A build, its turns and phases are complete events, which
nest by time in one thread for each task; decisions are instants, files and tests are counters. The
format: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guardkit.places.records import escape
from guardkit.places.timeline.told import headline

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from guardkit.places.report.material import Report
    from guardkit.places.timeline.model import Bar, Lane

BUILD, THREADS = 1, 1000  # the one process that there is; what parts the threads of a task


def chrome_trace(report: Report) -> str:
    """Return a report as a JSON object with the trace's events."""
    timeline, events = report.timeline, list[dict[str, Any]]()
    events.append(
        {"ph": "M", "name": "process_name", "pid": BUILD, "args": {"name": timeline.build.title}}
    )
    for thread, lane in enumerate((timeline.build, *timeline.tasks), 1):
        events += _lane(lane, thread)
    events += _counters(timeline.build)
    gaps = ({"sign": gap.sign, "from": gap.start, "seconds": gap.seconds} for gap in timeline.gaps)
    other = {
        "task_id": timeline.build.task_id,
        "run_id": timeline.build.run_id,
        "started_at": f"{report.snapshot.started_at:%Y-%m-%dT%H:%M:%SZ}",
        "gaps": [*gaps],
    }
    trace = {"traceEvents": events, "displayTimeUnit": "ms", "otherData": other}
    return escape(trace, indent=1) + "\n"


def _lane(lane: Lane, thread: int) -> Iterator[dict[str, Any]]:
    """Yield the events of one build; phases that overlap get threads of their own."""
    place = {"pid": BUILD, "tid": thread}
    yield {"ph": "M", "name": "thread_name", **place, "args": {"name": lane.task_id}}
    yield {"ph": "M", "name": "thread_sort_index", **place, "args": {"sort_index": thread}}
    whole = {"state": headline(lane), "critical": lane.is_critical, "wave": lane.wave}
    yield {**_span(lane.task_id, "build", lane.start, lane.end), **place, "args": whole}
    apart = 0 if _nest(lane.bars) else THREADS
    for bar in lane.bars:
        budget = {} if bar.budget is None else {"budget_seconds": bar.budget}
        inner = {"tid": thread + apart * bar.row}
        span = _span(bar.name, bar.kind, bar.start, bar.end)
        yield {**span, **place, **inner, "args": {"status": bar.status, **budget}}
    for mark in lane.marks:
        at = {"ts": _micro(mark.at), "s": "t", "args": {"why": mark.why}}
        yield {"ph": "i", "name": mark.text, "cat": mark.kind, **place, **at}


def _counters(lane: Lane) -> Iterator[dict[str, Any]]:
    for count in lane.counts:
        at = {"ph": "C", "pid": BUILD, "tid": 1, "ts": _micro(count.at)}
        yield {**at, "name": "files", "args": {"files": count.files}}
        yield {**at, "name": "tests", "args": {"passed": count.passed, "total": count.total}}


def _span(name: str, kind: str, start: float, end: float) -> dict[str, Any]:
    at = _micro(start)
    return {"ph": "X", "name": name, "cat": kind, "ts": at, "dur": _micro(end) - at}


def _nest(bars: Sequence[Bar]) -> bool:
    """Return whether of any two bars that overlap, one holds the other."""
    ends: list[float] = []
    for bar in sorted(bars, key=lambda bar: (bar.start, -bar.end)):
        while ends and ends[-1] <= bar.start:
            ends.pop()
        if ends and ends[-1] < bar.end:
            return False
        ends.append(bar.end)
    return True


def _micro(seconds: float) -> int:
    return round(seconds * 1e6)
