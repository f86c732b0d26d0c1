"""Turns with phases in them, and a phase inside a phase.

Run:    python examples/nested_turns.py
Prints:
    turn 1: Run the tests
    turn 1: Coach Validation, 3 of 5 tests
    turn 2: Run the tests
    turn 2: Coach Validation, 5 of 5 tests
    completed in turn 2: approved
"""

import asyncio
from tempfile import TemporaryDirectory

from guardkit import read_progress, track_build


async def main(root: str) -> None:
    def show(tests: str = "") -> None:
        now = read_progress("TASK-7", root=root)  # as any other process would
        print(f"turn {now.turn}: {now.phase}{tests and f', {now.metrics.tests_passed} {tests}'}")

    async with track_build("TASK-7", task_name="Parse dates", root=root) as build:
        for passed in (3, 5):
            async with build.turn() as turn, turn.phase("Coach Validation", budget=600):
                async with turn.phase("Run the tests") as phase:
                    show()
                    phase.update(tests_passed=passed, tests_total=5)
                show("of 5 tests")  # the outer phase is shown again, and what was counted
                turn.decide("approve" if passed == 5 else "feedback")
        build.decide("approved")
    end = read_progress("TASK-7", root=root)
    print(f"{end.status} in turn {end.turn}: {end.decision}")


with TemporaryDirectory() as folder:
    asyncio.run(main(folder))
