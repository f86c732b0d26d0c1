"""The daemon thread that runs calls."""

import asyncio
import threading

import pytest

from guardkit.progress.worker import Worker

from ..conftest import Run

pytestmark = pytest.mark.anyio


async def test_calls_are_made_in_order_in_one_thread_that_is_a_daemon() -> None:
    worker = Worker()
    made: list[tuple[int, threading.Thread]] = []
    for number in range(5):
        call = worker.submit(
            lambda number=number: made.append((number, threading.current_thread()))
        )
    await call
    worker.shutdown()
    assert [number for number, _ in made] == [0, 1, 2, 3, 4]
    assert len({thread.ident for _, thread in made}) == 1
    assert made[0][1].daemon


async def test_a_call_is_made_with_its_arguments_and_its_result_returned() -> None:
    worker = Worker()
    assert await worker.submit(sorted, [3, 1, 2], reverse=True) == [3, 2, 1]
    worker.shutdown()


async def test_a_thread_is_started_only_when_it_is_needed() -> None:
    before = threading.active_count()
    worker = Worker()
    assert threading.active_count() == before
    worker.shutdown()
    assert threading.active_count() == before


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, SystemExit])
async def test_what_a_call_raises_is_raised_where_it_is_waited_for(
    error: type[BaseException],
) -> None:
    def fail() -> None:
        raise error

    worker = Worker()
    caught = None
    try:
        await asyncio.shield(worker.submit(fail))
    except BaseException as raised:
        caught = raised
    assert type(caught) is error
    assert await worker.submit(int) == 0
    worker.shutdown()


async def test_an_executor_of_asyncio_waits_for_its_calls() -> None:
    worker = Worker()
    loop = asyncio.get_running_loop()
    assert await loop.run_in_executor(worker, sum, [1, 2]) == 3
    worker.shutdown()


async def test_a_call_whose_wait_was_cancelled_is_made_and_not_heard_of() -> None:
    worker, release = Worker(), threading.Event()
    made: list[int] = []
    hanging = worker.submit(release.wait)
    waiting = worker.submit(made.append, 1)
    assert waiting.cancel()
    assert hanging.cancel()
    release.set()
    await worker.submit(made.append, 2)
    worker.shutdown()
    assert made == [1, 2]


async def test_shutdown_returns_at_once_whatever_is_asked() -> None:
    worker, release = Worker(), threading.Event()
    hanging = worker.submit(release.wait)
    worker.shutdown(wait=True, cancel_futures=True)
    assert not hanging.done()
    release.set()
    assert await hanging


async def test_what_is_queued_is_done_before_the_thread_ends() -> None:
    worker, release, made = Worker(), threading.Event(), list[int]()
    worker.submit(release.wait)
    last = worker.submit(made.append, 1)
    worker.shutdown()
    release.set()
    await last
    assert made == [1]


def test_a_thread_ends_when_what_is_queued_is_done_though_the_event_loop_is_closed() -> None:
    worker, threads, release = Worker(), list[threading.Thread](), threading.Event()

    def work() -> None:
        threads.append(threading.current_thread())
        release.wait()

    async def leave() -> None:
        worker.submit(work)

    asyncio.run(leave())
    worker.shutdown()
    release.set()
    while not threads:
        pass
    threads[0].join()


def test_the_interpreter_exits_though_a_call_hangs(run: Run) -> None:
    program = """
from guardkit.progress.worker import Worker

async def main():
    Worker().submit(threading.Event().wait)
    say(left=True)
asyncio.run(main())
"""
    assert run(program) == {"left": True}


def test_where_no_thread_is_to_be_had_it_says_so_and_starts_one_later(run: Run) -> None:
    program = """
from guardkit.progress.worker import Worker

async def main():
    worker = Worker()
    threading.stack_size(2**26)
    with open("/proc/self/statm") as file:
        taken = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + 2**25, -1))  # no room for a thread's stack
    try:
        worker.submit(int)
    except OSError as error:
        refused = str(error)
    resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
    say(refused="no thread is to be had" in refused, later=await worker.submit(int))
asyncio.run(main())
"""
    assert run(program) == {"refused": True, "later": 0}
