"""What ends a command early: Ctrl-C, and the signals that end a process."""

from collections.abc import Coroutine
from contextlib import AbstractContextManager, ExitStack, nullcontext
from signal import (
    SIG_DFL,
    SIG_IGN,
    SIGHUP,
    SIGINT,
    SIGTERM,
    SIGTSTP,
    getsignal,
    raise_signal,
    signal,
)
from typing import Any, TypeVar

from guardkit.cli.streams import complain

T = TypeVar("T")


def until_signal(
    work: Coroutine[Any, Any, T],
    shown: AbstractContextManager[object] | None = None,
    *,
    heard: str = "",
    at_once: str = "",
) -> T | None:
    """Run `work` on an event loop; SIGINT, SIGTERM and SIGHUP cancel it, and None is returned.

    Those that we were started to ignore, as by nohup, stay ignored. Ctrl-Z stops the process.

    shown: is entered meanwhile, and left before the process is stopped or ends at once: a shell has
        the terminal then.
    heard: what is said at the first one, as it may take a while until all has ended.
    at_once: what is said when a second one ends the process at once; where that is "", further
        ones change nothing.
    """
    try:
        import asyncio
        import logging

        from anyio import CancelScope

        # It warns of a child that has ended just when it was to be killed: nothing to people.
        logging.getLogger("asyncio").setLevel(logging.ERROR)

        heeded = [each for each in (SIGINT, SIGTERM, SIGHUP) if getsignal(each) is not SIG_IGN]

        async def guarded() -> T | None:
            loop, drawing = asyncio.get_running_loop(), ExitStack()
            with drawing, CancelScope() as scope:

                def draw() -> None:
                    drawing.enter_context(shown or nullcontext())
                    if getsignal(SIGTSTP) is not SIG_IGN:
                        loop.add_signal_handler(SIGTSTP, stop)

                def stop() -> None:
                    drawing.close()
                    loop.remove_signal_handler(SIGTSTP)
                    raise_signal(SIGTSTP)  # returns when the process is continued
                    draw()

                def heed(number: int) -> None:
                    if scope.cancel_called and at_once:
                        drawing.close()
                        complain(at_once)
                        signal(number, SIG_DFL)  # at once: the loop would have a third one raised
                        raise_signal(number)
                    if heard and not scope.cancel_called:
                        complain(heard)
                    scope.cancel()

                draw()
                for each in heeded:
                    loop.add_signal_handler(each, heed, each)
                try:
                    return await work
                finally:
                    for each in heeded:
                        loop.remove_signal_handler(each)
                        signal(each, SIG_IGN)
                    loop.remove_signal_handler(SIGTSTP)
            return None

        return asyncio.run(guarded())
    finally:
        work.close()  # where a signal came before it could begin
