"""What ends a command early: Ctrl-C, and the signals that end a process."""

from collections.abc import Coroutine
from contextlib import AbstractContextManager, nullcontext
from signal import SIG_IGN, SIGHUP, SIGINT, SIGTERM, getsignal, signal
from typing import Any, TypeVar

T = TypeVar("T")


def until_signal(
    work: Coroutine[Any, Any, T], shown: AbstractContextManager[object] | None = None
) -> T | None:
    """Run `work` on an event loop; SIGINT, SIGTERM and SIGHUP cancel it, and None is returned.

    Those that we were started to ignore, as by nohup, stay ignored; further ones change nothing.

    shown: is entered meanwhile.
    """
    try:
        import asyncio
        import logging

        from anyio import CancelScope

        # It warns of a child that has ended just when it was to be killed: nothing to people.
        logging.getLogger("asyncio").setLevel(logging.ERROR)

        heeded = [each for each in (SIGINT, SIGTERM, SIGHUP) if getsignal(each) is not SIG_IGN]

        async def guarded() -> T | None:
            loop = asyncio.get_running_loop()
            with shown or nullcontext(), CancelScope() as scope:
                for each in heeded:
                    loop.add_signal_handler(each, scope.cancel)
                try:
                    return await work
                finally:
                    for each in heeded:
                        loop.remove_signal_handler(each)
                        signal(each, SIG_IGN)
            return None

        return asyncio.run(guarded())
    finally:
        work.close()  # where a signal came before it could begin
