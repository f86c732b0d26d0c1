"""A stand-in for the APIs of Anthropic and OpenAI on 127.0.0.1: says what a test has it say.

An agent asks for the next answer of its model again and again; a test queues these beforehand, and
reads what was asked afterwards. What asks without offering tools (for a title, a summary) is given
a word, and takes no answer from the queue.
"""

import json
import threading
from collections import deque
from collections.abc import Iterable
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .wire import Answer, Json, Say, Use, anthropic_events, anthropic_message, openai_events

__all__ = ["Api", "Say", "Use"]
ELSE = "There is nothing more to say."
PATIENCE = 600.0  # seconds until an agent must have asked


class Api:
    """The server, and the answers that it gives.

    history: the bodies of the requests for an answer of the queue so far, oldest first.
    """

    def __init__(self) -> None:
        self.history: list[Json] = []
        self._answers: deque[Answer] = deque()
        self._asked = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, name="stand-in API")

    def __enter__(self) -> "Api":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def enqueue(self, *answers: Answer) -> None:
        """Add the next answers of the model."""
        self._answers.extend(answers)

    def take(self, request: Json) -> Answer:
        """Return the answer to a request."""
        if not request.get("tools"):
            return Say("Done")
        with self._asked:
            self.history.append(request)
            self._asked.notify_all()
            return self._answers.popleft() if self._answers else Say(ELSE)

    def wait_for(self, number: int) -> None:
        """Return when so many answers were asked for."""
        with self._asked:
            assert self._asked.wait_for(lambda: len(self.history) >= number, PATIENCE)

    def told(self) -> str:
        """Return all that agents have sent so far, as one text of JSON."""
        return json.dumps(self.history)

    def tool_results(self) -> list[str]:
        """Return what the tools have answered that Claude Code has used, oldest first."""
        if not self.history:
            return []
        parts = [part for each in self.history[-1]["messages"] for part in _parts(each)]
        return [json.dumps(it["content"]) for it in parts if it["type"] == "tool_result"]


def _parts(message: Json) -> list[Json]:
    content = message["content"]
    return content if isinstance(content, list) else []


class Handler(BaseHTTPRequestHandler):
    """One connection of an agent."""

    protocol_version = "HTTP/1.1"

    def __init__(self, api: Api, *more: Any) -> None:
        self._api = api
        super().__init__(*more)

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._reply({})

    def do_GET(self) -> None:
        self._reply({"object": "list", "data": []})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])) or b"{}")
        path = self.path.partition("?")[0]
        if path.endswith("/messages"):
            message = anthropic_message(self._api.take(body), body)
            if body.get("stream"):
                self._stream(anthropic_events(message))
            else:
                self._reply(message)
        elif path.endswith("/responses"):
            self._stream(openai_events(self._api.take(body), body))
        else:
            self._reply({"input_tokens": 1})  # of a text, as far as that is asked

    def _reply(self, told: Json) -> None:
        content = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _stream(self, events: Iterable[Json]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        for each in events:
            self.wfile.write(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n".encode())
