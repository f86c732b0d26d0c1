"""The `guardkit` command."""

from __future__ import annotations

import sys

import guardkit
from guardkit.cli import building, codes, installing, looking, mcp, nats, report, running, serving
from guardkit.cli.parser import Commands, Parser
from guardkit.cli.streams import complain, drop_output, flush_output, open_streams
from guardkit.errors import GuardKitError


def main() -> None:
    """Run the command; an error of guardkit's or of the system's comes out as one line."""
    open_streams()
    sys.exit(run())


def run() -> int | None:
    """Run the command; return its exit code.

    An exit code of 1 says that a build has failed: nothing else ends with it.
    """
    try:
        try:
            return make_parser().run()
        finally:
            flush_output()
    except GuardKitError as error:
        return complain(error)
    except BrokenPipeError:  # who reads it has seen enough
        drop_output()
        return codes.UNDONE
    except OSError as error:
        drop_output()
        return complain(f"{error.filename}: {error.strerror}" if error.filename else error)
    except KeyboardInterrupt:
        return codes.STOPPED
    except Exception:  # a defect, of ours or of a library: Python would exit with 1
        import traceback

        traceback.print_exc()
        return codes.UNDONE


def make_parser() -> Parser:
    """Declare all commands."""
    parser = Parser(prog="guardkit", description=guardkit.__doc__)
    parser.add_call("--version", version, about="Print the version.")
    commands = Commands(parser)
    looking.add_commands(commands)
    report.add_commands(commands)
    building.add_commands(commands)
    running.add_commands(commands)
    nats.add_commands(commands)
    installing.add_commands(commands)
    mcp.add_commands(commands)
    serving.add_commands(commands)
    return parser


def version() -> None:
    """Print the version that is installed."""
    from importlib import metadata

    print(f"guardkit {metadata.version('guardkit')}")


if __name__ == "__main__":
    main()
