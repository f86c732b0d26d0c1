"""The command that serves builds to coding agents: an MCP server on standard input and output."""

from __future__ import annotations

from guardkit.cli import codes

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from guardkit.cli.parser import Commands, Parser


def add_commands(commands: Commands) -> None:
    """Declare the command."""
    commands.add("mcp", mcp, _declare_mcp)


def _declare_mcp(command: Parser) -> None:
    command.add_root()


def mcp(*, root: str) -> int:
    """Serve builds to coding agents, as an MCP server on standard input and output.

    An agent starts it, and lists, reads and watches builds with it; nothing can be changed by it.

    $ claude mcp add guardkit -- guardkit mcp
    """
    from guardkit.clock import SYSTEM_CLOCK
    from guardkit.places.mcp.server import McpServer
    from guardkit.places.mcp.wire import serve

    return codes.COMPLETED if serve(McpServer(root), SYSTEM_CLOCK) else codes.UNDONE
