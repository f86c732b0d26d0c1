"""JSON-RPC: each line is answered as the specification says, whatever stands in it."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from guardkit.places.mcp.rpc import BATCH_MAX, LINE_MAX, Call, RpcError, Session
from guardkit.places.mcp.wire import QUEUE_MAX, serve
from guardkit.testing import FakeClock


class Echo:
    """A server that says what it was asked; `later` is answered at the end."""

    def __init__(self) -> None:
        self.notified: list[str] = []
        self.waiting: list[Call] = []

    def call(self, call: Call, method: str, params: dict[str, Any]) -> dict[str, Any] | None:
        if method == "refused":
            raise RpcError(-32000, "no", {"why": params})
        if method == "later":
            self.waiting.append(call)
            return None
        if method == "long":
            return {"text": "x" * params["size"]}
        return {} if method == "ping" else {"method": method, "size": 1 // (method != "defect")}

    def notify(self, method: str, params: dict[str, Any]) -> None:
        self.notified.append(method)

    def tick(self) -> Iterable[dict[str, Any]]:
        return ()

    def due(self) -> float | None:
        return None

    def finish(self) -> None:
        for call in self.waiting:
            call.answer({"late": True})


def take(*lines: bytes | None) -> list[Any]:
    """Return what is said to some lines."""
    sent: list[Any] = []
    session = Session(Echo(), sent.append)
    for line in lines:
        session.take(line)
    return json.loads(json.dumps(sent)) if sent else []


def told(answer: Any) -> tuple[object, object]:
    """Return the id of an answer, and its error or else its result."""
    assert answer["jsonrpc"] == "2.0"
    assert len(answer) == 3
    return answer["id"], answer["error"]["code"] if "error" in answer else answer["result"]


def message(method: object, **more: object) -> dict[str, object]:
    return {"jsonrpc": "2.0", "method": method, **more}


@pytest.mark.parametrize("name", [1, 0, -5, 2**53, "", "a", "\ud800\x7f", "x" * 256])
def test_a_request_is_answered_by_its_id(name: object) -> None:
    [answer] = take(json.dumps(message("ping", id=name)).encode())
    assert told(answer) == (name, {})


@pytest.mark.parametrize(
    ("line", "code"),
    [
        pytest.param(b"", -32700, id="nothing"),
        pytest.param(b"{", -32700, id="half of it"),
        pytest.param(b"\xff", -32700, id="no UTF-8"),
        pytest.param(b'{"jsonrpc": "2.0", "id": NaN, "method": "ping"}', -32700, id="NaN"),
        pytest.param(b'{"id": ' + b"9" * 5000 + b"}", -32700, id="digits without end"),
        pytest.param(b"[" * LINE_MAX, -32700, id="nested a million deep"),
        pytest.param(None, -32600, id="too long"),
        pytest.param(b"[]", -32600, id="an empty batch"),
        pytest.param(b"[" + b"1," * BATCH_MAX + b"1]", -32600, id="a batch that is too long"),
        pytest.param(b"1", -32600, id="a number"),
        pytest.param(b"{}", -32600, id="an empty object"),
        pytest.param(b'{"jsonrpc": "1.0", "method": "ping"}', -32600, id="another version"),
        pytest.param(b'{"jsonrpc": "2.0", "method": 1}', -32600, id="a method that is no text"),
        pytest.param(b'{"jsonrpc": "2.0", "id": null, "method": "p"}', -32600, id="null for an id"),
        pytest.param(b'{"jsonrpc": "2.0", "id": true, "method": "p"}', -32600, id="true for an id"),
        pytest.param(b'{"jsonrpc": "2.0", "id": 1.5, "method": "p"}', -32600, id="part of an id"),
        pytest.param(b'{"jsonrpc": "2.0", "id": [], "method": "p"}', -32600, id="a list for an id"),
        pytest.param(b'{"jsonrpc": "2.0", "method": "p", "params": 5}', -32602, id="parameters"),
    ],
)
def test_what_is_no_request_is_refused_without_an_id(line: bytes | None, code: int) -> None:
    [answer] = take(line)
    assert told(answer) == (None, code)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (message("ping", id=1, params=[1]), -32602),
        (message(None, id=1), -32600),
        ({"method": "ping", "id": 1}, -32600),
        (message("refused", id=1), -32000),
        (message("defect", id=1), -32603),
    ],
    ids=["parameters by position", "no method", "no version", "refused", "a defect of ours"],
)
def test_a_request_is_refused_by_its_id(request_: object, code: int) -> None:
    [answer] = take(json.dumps(request_).encode())
    assert told(answer) == (1, code)


def test_an_error_has_the_data_that_programs_are_told() -> None:
    [answer] = take(json.dumps(message("refused", id=1, params={"a": 1})).encode())
    assert answer["error"] == {"code": -32000, "message": "no", "data": {"why": {"a": 1}}}


def test_notifications_and_answers_get_no_answer() -> None:
    answer = {"jsonrpc": "2.0", "id": 1, "result": {}}
    batch = json.dumps([message("notifications/initialized"), answer])
    assert (
        take(json.dumps(message("a")).encode(), json.dumps(answer).encode(), batch.encode()) == []
    )


def test_a_batch_is_answered_at_once_when_all_of_it_is() -> None:
    server, sent = Echo(), list[Any]()
    batch = [message("later", id=1), 1, message("a"), message("ping", id=2)]
    Session(server, sent.append).take(json.dumps(batch).encode())
    assert sent == []
    server.finish()
    assert [*map(told, sent[0])] == [(None, -32600), (2, {}), (1, {"late": True})]


def test_a_batch_of_which_nothing_is_wanted_any_more_gets_no_answer() -> None:
    server, sent = Echo(), list[Any]()
    Session(server, sent.append).take(json.dumps([message("later", id=1)]).encode())
    server.waiting[0].drop()
    assert sent == []


class Files:
    """A peer that has said all before it is read, and reads at the end: two files."""

    def __init__(self, folder: Path, said: bytes) -> None:
        (folder / "said").write_bytes(said)
        self._reader = os.open(folder / "said", os.O_RDONLY)
        self._writer = os.open(folder / "told", os.O_CREAT | os.O_WRONLY)
        self._told = folder / "told"

    def serve(self, server: Echo) -> list[Any]:
        assert serve(server, FakeClock(), reader=self._reader, writer=self._writer)
        os.close(self._reader)
        os.close(self._writer)
        return [json.loads(line) for line in self._told.read_bytes().splitlines()]


def serve_all(folder: Path, said: bytes) -> list[tuple[object, object]]:
    return [*map(told, Files(folder, said).serve(Echo()))]


def test_lines_are_read_however_they_end(tmp_path: Path) -> None:
    ping = json.dumps(message("ping", id=1)).encode()
    assert serve_all(tmp_path, ping + b"\r\n\n \n" + ping) == [(1, {}), (1, {})]


def test_half_a_line_at_the_end_is_refused(tmp_path: Path) -> None:
    assert serve_all(tmp_path, b'{"jsonrpc":') == [(None, -32700)]


def test_a_line_without_end_costs_no_memory_and_one_error(tmp_path: Path) -> None:
    ping = json.dumps(message("ping", id=1)).encode()
    line = b"[" + b"1," * (5 * LINE_MAX) + b"1]\n"
    assert serve_all(tmp_path, line + ping) == [(None, -32600), (1, {})]


def test_a_line_of_the_length_that_is_allowed_is_read(tmp_path: Path) -> None:
    ping = json.dumps(message("ping", id=1)).encode().ljust(LINE_MAX)
    assert serve_all(tmp_path, ping + b"\n") == [(1, {})]


def test_what_waits_is_answered_when_nothing_more_comes_in(tmp_path: Path) -> None:
    later = json.dumps(message("later", id=1)).encode()
    assert serve_all(tmp_path, later) == [(1, {"late": True})]


def test_answers_longer_than_what_may_wait_are_all_written(tmp_path: Path) -> None:
    asked = message("long", id=1, params={"size": QUEUE_MAX})
    answers = Files(tmp_path, json.dumps(asked).encode()).serve(Echo())
    assert [len(answer["result"]["text"]) for answer in answers] == [QUEUE_MAX]


def test_who_has_stopped_reading_is_left() -> None:
    (reader, say), (hear, writer) = os.pipe(), os.pipe()
    os.close(hear)
    assert not serve(Echo(), FakeClock(), reader=reader, writer=writer)
    for fd in (reader, say, writer):
        os.close(fd)


def test_a_pipe_that_does_not_block_is_read_and_written() -> None:
    (reader, say), (hear, writer) = os.pipe(), os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    os.write(say, json.dumps(message("ping", id=1)).encode())
    os.close(say)
    assert serve(Echo(), FakeClock(), reader=reader, writer=writer)
    assert told(json.loads(os.read(hear, 1000))) == (1, {})
    for fd in (reader, hear, writer):
        os.close(fd)
