"""A stand-in for the APIs of Anthropic and OpenAI on 127.0.0.1: says what a test has it say.

An agent asks for the next answer of its model again and again; a test queues these beforehand, and
reads what was asked afterwards. What asks without offering tools (for a title, a summary) is given
a word, and takes no answer from the queue.
"""

import json
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]
ELSE = "There is nothing more to say."
PATIENCE = 600.0  # seconds until an agent must have asked


@dataclass(frozen=True)
class Say:
    """An answer that ends the turn: a text."""

    text: str


@dataclass(frozen=True)
class Use:
    """An answer that has a tool used.

    tool: its name; of Codex that of a server's tool follows that of its namespace, and a `/`.
    arguments: what it is given.
    """

    tool: str
    arguments: Json = field(default_factory=dict)


Answer = Say | Use


class Api:
    """The server, and the answers that it gives.

    history: the bodies of the requests for an answer of the queue so far, oldest first.
    """

    def __init__(self) -> None:
        self.history: list[Json] = []
        self._answers: deque[Answer] = deque()
        self._asked = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
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


def _handler(api: Api) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self._reply({})

        def do_GET(self) -> None:
            self._reply({"object": "list", "data": []})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])) or b"{}")
            path = self.path.partition("?")[0]
            if path.endswith("/count_tokens"):
                self._reply({"input_tokens": 1})
            elif path.endswith("/messages"):
                message = anthropic_message(api.take(body), len(api.history), body.get("model"))
                if body.get("stream"):
                    self._stream(anthropic_events(message))
                else:
                    self._reply(message)
            elif path.endswith("/responses"):
                self._stream(openai_events(api.take(body), len(api.history), body.get("model")))
            else:
                self._reply({}, 404)

        def _reply(self, told: Json, status: int = 200) -> None:
            content = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def _stream(self, events: Iterator[Json]) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("connection", "close")
            self.end_headers()
            self.close_connection = True
            for each in events:
                self.wfile.write(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n".encode())

    return Handler


def anthropic_message(answer: Answer, number: int, model: object) -> Json:
    """Return an answer as Anthropic's Messages API gives it."""
    if isinstance(answer, Say):
        content = {"type": "text", "text": answer.text}
    else:
        named = {"id": f"toolu_{number}", "name": answer.tool, "input": answer.arguments}
        content = {"type": "tool_use", **named}
    return {
        "id": f"msg_{number}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [content],
        "stop_reason": "end_turn" if isinstance(answer, Say) else "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 100, "output_tokens": 20},
    }


def anthropic_events(message: Json) -> Iterator[Json]:
    """Return a message as it is streamed."""
    [content] = message["content"]
    yield {
        "type": "message_start",
        "message": {**message, "content": [], "stop_reason": None},
    }
    if content["type"] == "text":
        empty, delta = {"text": ""}, {"type": "text_delta", "text": content["text"]}
    else:
        given = json.dumps(content["input"])
        empty, delta = {"input": {}}, {"type": "input_json_delta", "partial_json": given}
    yield {"type": "content_block_start", "index": 0, "content_block": {**content, **empty}}
    yield {"type": "content_block_delta", "index": 0, "delta": delta}
    yield {"type": "content_block_stop", "index": 0}
    ended = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": ended, "usage": {"output_tokens": 20}}
    yield {"type": "message_stop"}


def openai_events(answer: Answer, number: int, model: object) -> Iterator[Json]:
    """Return an answer as OpenAI's Responses API streams it."""
    response = {"id": f"resp_{number}", "object": "response", "model": model, "output": []}
    yield {"type": "response.created", "response": {**response, "status": "in_progress"}}
    if isinstance(answer, Say):
        text = {"type": "output_text", "text": answer.text, "annotations": []}
        item: Json = {"type": "message", "role": "assistant", "content": [text]}
    else:
        namespace, _, name = answer.tool.rpartition("/")
        item = {"type": "function_call", "call_id": f"call_{number}", "name": name}
        item |= {"arguments": json.dumps(answer.arguments)}
        item |= {"namespace": namespace} if namespace else {}
    item |= {"id": f"item_{number}", "status": "completed"}
    yield {"type": "response.output_item.added", "output_index": 0, "item": item}
    if isinstance(answer, Say):
        at = {"item_id": item["id"], "output_index": 0, "content_index": 0}
        yield {"type": "response.output_text.delta", "delta": answer.text, **at}
    yield {"type": "response.output_item.done", "output_index": 0, "item": item}
    usage = {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120}
    done = {**response, "status": "completed", "output": [item], "usage": usage}
    yield {"type": "response.completed", "response": done}
