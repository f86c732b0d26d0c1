"""What a model answers, as the APIs of Anthropic and OpenAI put it."""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

USED = 100, 20  # tokens that went in, and came out


@dataclass(frozen=True)
class Say:
    """An answer that ends the turn: a text; used: how many tokens went in and came out."""

    text: str
    used: tuple[int, int] = USED


@dataclass(frozen=True)
class Use:
    """An answer that has a tool used; used as in `Say`."""

    tool: str
    arguments: Json = field(default_factory=dict)
    used: tuple[int, int] = USED


Answer = Say | Use


def anthropic_message(answer: Answer, request: Json) -> Json:
    """Return an answer as Anthropic's Messages API gives it."""
    name = uuid.uuid4().hex
    if isinstance(answer, Say):
        content: Json = {"type": "text", "text": answer.text}
    else:
        content = {"type": "tool_use", "id": f"toolu_{name}", "name": answer.tool}
        content |= {"input": answer.arguments}
    return {
        "id": f"msg_{name}",
        "type": "message",
        "role": "assistant",
        "model": request.get("model"),
        "content": [content],
        "stop_reason": "end_turn" if isinstance(answer, Say) else "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": answer.used[0], "output_tokens": answer.used[1]},
    }


def anthropic_events(message: Json) -> Iterator[Json]:
    """Return a message as it is streamed."""
    [content] = message["content"]
    yield {
        "type": "message_start",
        "message": {**message, "content": [], "stop_reason": None},
    }
    if content["type"] == "text":
        begun = {**content, "text": ""}
        delta = {"type": "text_delta", "text": content["text"]}
    else:
        begun = {**content, "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(content["input"])}
    yield {"type": "content_block_start", "index": 0, "content_block": begun}
    yield {"type": "content_block_delta", "index": 0, "delta": delta}
    yield {"type": "content_block_stop", "index": 0}
    ended = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    used = {"output_tokens": message["usage"]["output_tokens"]}
    yield {"type": "message_delta", "delta": ended, "usage": used}
    yield {"type": "message_stop"}


def openai_events(answer: Answer, request: Json) -> Iterator[Json]:
    """Return an answer as OpenAI's Responses API streams it."""
    name = uuid.uuid4().hex
    response: Json = {"id": f"resp_{name}", "object": "response", "model": request.get("model")}
    yield {"type": "response.created", "response": {**response, "output": []}}
    if isinstance(answer, Say):
        text = {"type": "output_text", "text": answer.text, "annotations": []}
        item: Json = {"type": "message", "role": "assistant", "content": [text]}
    else:
        item = {"type": "function_call", "call_id": f"call_{name}", "name": answer.tool}
        item |= {"arguments": json.dumps(answer.arguments)}
    item |= {"id": f"item_{name}", "status": "completed"}
    yield {"type": "response.output_item.added", "output_index": 0, "item": item}
    if isinstance(answer, Say):
        at = {"item_id": item["id"], "output_index": 0, "content_index": 0}
        yield {"type": "response.output_text.delta", "delta": answer.text, **at}
    yield {"type": "response.output_item.done", "output_index": 0, "item": item}
    given, made = answer.used
    usage = {"input_tokens": given, "output_tokens": made, "total_tokens": given + made}
    done = {**response, "status": "completed", "output": [item], "usage": usage}
    yield {"type": "response.completed", "response": done}
