"""A receiver of traces: what is sent to it by OTLP over HTTP, it keeps."""

import threading
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

PATIENCE = 60.0  # seconds until a test that waits in vain fails


class Received:
    """A span, as it came over the wire; ids in hexadecimal digits, "" for none."""

    def __init__(self, span: Any, resource: dict[str, Any]) -> None:
        self.name: str = span.name
        self.trace_id: str = span.trace_id.hex()
        self.span_id: str = span.span_id.hex()
        self.parent: str = span.parent_span_id.hex()
        self.kind: int = span.kind
        self.began: int = span.start_time_unix_nano
        self.ended: int = span.end_time_unix_nano
        self.status: tuple[int, str] = span.status.code, span.status.message
        self.attributes = read(span.attributes)
        self.notes = [(note.name, read(note.attributes)) for note in span.events]
        self.resource = resource

    @property
    def result(self) -> str | None:
        found = self.attributes
        result: str | None = found.get("cicd.pipeline.result")
        return result or found.get("cicd.pipeline.task.run.result")


class Receiver:
    """A server on a port of its own. `refuses`: whether it answers that it is overloaded."""

    def __init__(self) -> None:
        self.spans: list[Received] = []
        self.headers: list[dict[str, str]] = []
        self.refuses = False
        self.calls = 0
        self._news = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def wait(self, is_there: Callable[[], bool]) -> None:
        """Return when something was received, or called for, after which that is true."""
        with self._news:
            assert self._news.wait_for(is_there, PATIENCE), self.names

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.spans]

    def span(self, name: str) -> Received:
        [found] = [span for span in self.spans if span.name == name]
        return found

    def twice(self) -> list[str]:
        """Return the ids of spans that came more than once."""
        return [span_id for span_id, n in Counter(it.span_id for it in self.spans).items() if n > 1]

    def tree(self) -> dict[str, Any]:
        """Return the names of all spans in each other, in the order in which they began."""

        def below(parent: str) -> dict[str, Any]:
            found = [span for span in self.spans if span.parent == parent]
            return {it.name: below(it.span_id) for it in sorted(found, key=lambda it: it.began)}

        known = {span.span_id for span in self.spans}
        [top] = {span.parent for span in self.spans if span.parent not in known}
        return below(top)

    def take(self, body: bytes, headers: dict[str, str]) -> bool:
        with self._news:
            self.calls += 1
            if not self.refuses:
                self.headers.append(headers)
                request = ExportTraceServiceRequest.FromString(body)
                for each in request.resource_spans:
                    resource = read(each.resource.attributes)
                    for scope in each.scope_spans:
                        self.spans += (Received(span, resource) for span in scope.spans)
            self._news.notify_all()
            return not self.refuses

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                assert self.path == "/v1/traces"
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200 if receiver.take(body, dict(self.headers)) else 503)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def read(attributes: Any) -> dict[str, Any]:
    """Return attributes as they are in Python."""
    kinds = {each.key: each.value.WhichOneof("value") for each in attributes}
    return {each.key: getattr(each.value, kinds[each.key]) for each in attributes}
