"""The MCP server: builds for coding agents, on the standard library alone, as it starts often."""
