"""Who asks: what the `_meta` of a request tells of the client, and how that is answered."""

from __future__ import annotations

from collections import namedtuple

from guardkit import __version__
from guardkit.places.mcp.rpc import INVALID_PARAMS, RpcError, is_id, is_object

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from typing import NamedTuple, Self

    from guardkit.places.mcp.rpc import Json

    class _Asker(NamedTuple):
        is_stateless: bool
        has_tasks: bool
        token: str | int | None

else:
    _Asker = namedtuple("_Asker", ("is_stateless", "has_tasks", "token"))

# Versions of the protocol, from the newest: requests of the first one tell who asks, those of the
# others follow an `initialize`.
VERSIONS = ("2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
META = "io.modelcontextprotocol/"
TASKS = f"{META}tasks"
SELF = {"name": "guardkit", "version": __version__}
NO_OPTIONS: dict[str, str] = {}
MISSING_CAPABILITY, UNSUPPORTED_VERSION = -32021, -32022


class Asker(_Asker):
    """Who asks.

    is_stateless: whether by the protocol without `initialize`.
    has_tasks: whether the answer may be an MCP task.
    token: names the progress of the request; None: none is wanted.
    """

    __slots__ = ()

    @classmethod
    def of(cls, params: Json) -> Self:
        """Return who asks with some parameters; raises RpcError."""
        meta = read_object(params, "_meta")
        version, token = meta.get(f"{META}protocolVersion"), meta.get("progressToken")
        if version not in (None, *VERSIONS):
            known = {"supported": VERSIONS, "requested": version}
            raise RpcError(UNSUPPORTED_VERSION, "this version of MCP is not spoken here", known)
        extensions = read_object(read_object(meta, f"{META}clientCapabilities"), "extensions")
        return cls(version is not None, TASKS in extensions, token if is_id(token) else None)

    def check_tasks(self) -> None:
        """Raise RpcError unless the asker knows what an MCP task is."""
        if not self.has_tasks:
            wanted = {"requiredCapabilities": {"extensions": {TASKS: NO_OPTIONS}}}
            raise RpcError(MISSING_CAPABILITY, f"{TASKS} is not among your capabilities", wanted)

    def dress(self, result: Json) -> Json:
        """Return a result with what the asker's protocol wants in each."""
        if not self.is_stateless:
            return result
        return {"resultType": "complete", "_meta": {f"{META}serverInfo": SELF}, **result}


def read_object(params: Json, name: str) -> Json:
    """Return an object among some parameters, an empty one if it is missing; raises RpcError."""
    value = params.get(name)
    if value is not None and not is_object(value):
        raise RpcError(INVALID_PARAMS, f"{name} is an object")
    return value or {}
