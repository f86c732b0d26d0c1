"""The `guardkit` command: one module a family of commands."""
