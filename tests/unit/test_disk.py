"""How long a build waits for its last write, at exact virtual times."""

import asyncio
import threading

import pytest

from guardkit.progress.disk import Disk
from guardkit.progress.timer import Timer
from guardkit.testing import FakeClock


class Files:
    """Files whose write lasts until it is let go."""

    due = False
    queued = landed = 0

    def __init__(self) -> None:
        self.go_on = threading.Event()

    def write(self) -> None:
        self.go_on.wait()

    def failed(self, error: Exception) -> None:
        raise error


@pytest.mark.anyio
async def test_a_disk_that_writes_on_is_waited_for_once_more_at_the_end(clock: FakeClock) -> None:
    timer = Timer(clock)
    disk, first, second = Disk(timer, clock), Files(), Files()
    disk.put(first)
    disk.put(second)
    settling = asyncio.create_task(disk.settle(second, last=True))
    await clock.advance(0.0)
    first.go_on.set()
    while second.due:  # until the thread is at it  # noqa: ASYNC110
        await asyncio.sleep(0)
    await clock.advance(0.8)
    assert not settling.done()
    second.go_on.set()
    await settling
    disk.close()
    await timer.close()
