"""A build in a program that knows nothing of asyncio: anyio runs an event loop in a thread.

Run:    python examples/without_asyncio.py
Prints:
    Fetch: 3 of 3 pages
    completed
"""

from tempfile import TemporaryDirectory

from anyio.from_thread import start_blocking_portal

from guardkit import read_progress, track_build

PAGES = ("index", "about", "help")


def main(root: str) -> None:
    with start_blocking_portal() as portal:
        enter = portal.wrap_async_context_manager  # `with enter(x)` stands for `async with x`
        with enter(track_build("TASK-1", root=root)) as build:
            with enter(build.phase("Fetch")) as phase:
                for done, page in enumerate(PAGES, 1):
                    phase.update(message=f"{page} is here")  # may be called from any thread
                    phase.count(done, len(PAGES), "pages")
    end = read_progress("TASK-1", root=root)
    assert end.work
    print(f"{end.phase}: {end.work.done} of {end.work.total} {end.work.unit}")
    print(end.status)


with TemporaryDirectory() as folder:
    main(folder)
