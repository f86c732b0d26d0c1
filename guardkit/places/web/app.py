"""The addresses of the page, and what is answered there."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route

from guardkit.places.web.live import Live
from guardkit.places.web.projects import Key
from guardkit.places.web.stream import BEAT, pieces

log = logging.getLogger("guardkit.serve")

STREAMS_MAX = 64  # at a time
SEND_MAX = 30.0  # seconds in which a browser has to take a piece of a stream


class Page:
    """Answers requests.

    live: knows the builds.
    """

    def __init__(self, live: Live) -> None:
        self._live = live
        self._files = live.pages.own_files()
        self._streams = 0

    def app(self) -> Starlette:
        """Return what answers."""
        routes = [
            Route("/", self.builds),
            Route("/stream", self.stream),
            Route("/builds/{slug}/{task_id}", self.build),
            Route("/builds/{slug}/{task_id}/stream", self.stream),
            *(Route(address, self.file) for address in self._files),
        ]
        handlers = {HTTPException: self._explain, Exception: _fail}
        return Starlette(routes=routes, exception_handlers=handlers)  # type: ignore[arg-type]

    async def builds(self, _: Request) -> Response:
        """Return the page of all builds."""
        await self._live.freshen()
        before, after = self._live.pages.list_page(self._live.board.sum())
        whole = (before.encode(), self._live.board.whole(), after.encode())
        return StreamingResponse(_in_pieces(whole), media_type="text/html")

    async def build(self, request: Request) -> Response:
        """Return the page of one build."""
        await self._live.freshen()
        key = await self._find(request)
        history = await self._live.histories.read(key)
        view = self._live.board.view(key)
        parts = self._live.board.render(key)
        html = self._live.pages.build_page(self._live.projects[key[0]], view, parts, history)
        return StreamingResponse(_in_pieces([html.encode()]), media_type="text/html")

    async def stream(self, request: Request) -> Response:
        """Return what happens from now on, without an end."""
        await self._live.freshen()
        key = await self._find(request) if request.path_params else None
        if self._streams >= STREAMS_MAX:
            return Response("too many look on\n", 503, {"retry-after": "10"}, "text/plain")
        return EventSourceResponse(
            self._events(key),
            ping=BEAT,
            ping_message_factory=lambda: ServerSentEvent(event="beat", data="", sep="\n"),
            send_timeout=SEND_MAX,
            sep="\n",
        )

    async def file(self, request: Request) -> Response:
        """Return a file of the page's own."""
        content, kind = self._files[request.url.path]
        return Response(content, media_type=kind)

    async def _find(self, request: Request) -> Key:
        key = request.path_params["slug"], request.path_params["task_id"]
        if not await self._live.knows(key):
            raise HTTPException(404)
        return key

    async def _events(self, key: Key | None) -> AsyncIterator[bytes]:
        self._streams += 1
        try:
            with self._live.joined(key) as browser:
                async for event in browser.events():
                    yield event
        finally:
            self._streams -= 1

    async def _explain(self, _: Request, error: HTTPException) -> Response:
        if error.status_code == 404:  # noqa: PLR2004 - as everybody knows it
            text = "There is no such build, or it is not known yet."
            return HTMLResponse(self._live.pages.notice("Not found", text), 404)
        return Response(f"{error.detail}\n", error.status_code, error.headers, "text/plain")


async def _fail(request: Request, error: Exception) -> Response:
    """Say that a request could not be answered; who reads too slowly, or has gone, is no news."""
    if not isinstance(error, OSError):
        log.warning("a request for %a could not be answered: %r", request.scope["path"], error)
    return Response("this could not be answered\n", 500, media_type="text/plain")


async def _in_pieces(texts: Iterable[bytes]) -> AsyncIterator[bytes]:
    for text in texts:
        for piece in pieces(text):
            yield piece
