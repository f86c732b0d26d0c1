"""The words of a command line: each command is a function, and they become its arguments."""

import sys
from argparse import PARSER, Action, ArgumentParser, ArgumentTypeError, HelpFormatter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from guardkit.errors import MisuseError

N = TypeVar("N", int, float)


class Parser(ArgumentParser):
    """What one command takes; those arguments and options that commands share are methods."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(formatter_class=Sentences, allow_abbrev=False, add_help=False, **settings)
        self._positionals.title = "arguments"
        self.add_argument("-h", "--help", action="help", help="Print this help.")

    def add_id(self) -> None:
        """Add `task_id`, the one task that a command is about."""
        self.add_argument("task_id", metavar="ID", help="The task that is built.")

    def add_ids(self) -> None:
        """Add `ids`, the tasks to look at; an empty list stands for all."""
        self.add_argument("ids", nargs="*", metavar="ID", help="Builds; all by default.")

    def add_stall_after(self) -> None:
        """Add `stall_after`, seconds."""
        about = "Seconds without activity that are a stall; %(default)g by default."
        self.add_argument(
            "--stall-after", type=at_least(0.0), default=1800.0, metavar="S", help=about
        )

    def add_root(self) -> None:
        """Add `root`, the folder of the project."""
        about = "The project's folder; by default the nearest one upwards with .guardkit or .git."
        self.add_argument("--root", type=_root, default="", metavar="DIR", help=about)

    def add_nats(self, *, about: str, default: str | None = None) -> None:
        """Add `nats`, the URL of a server, `""` for the usual one; where it is not given, None."""
        about += " A URL has a colon, as nats://HOST; by default it is that in NATS_URL or of the "
        about += "context of the nats command."
        self.add_argument("--nats", type=_url, default=default, metavar="[URL]", help=about)

    def run(self) -> int | None:
        """Run the command that this process was given; return what it returns: an exit code.

        Words after an option that follows the first ids are ids, too. Raises MisuseError.
        """
        found, rest = self.parse_known_args(_with_urls(sys.argv[1:]))
        arguments = vars(found)
        command, run = arguments.pop("command"), arguments.pop("run")
        if "ids" in arguments and not any(word.startswith("-") for word in rest):
            arguments["ids"] += rest
        elif rest:
            told = ("(a login)" if "@" in word else word for word in rest)
            command.error(f"unrecognized arguments: {' '.join(told)}")
        code: int | None = run(**arguments)
        return code

    def error(self, message: str) -> NoReturn:
        """Raise MisuseError, which says where to look for what is right."""
        raise MisuseError(f"{message}; see {self.prog} --help")


class Commands:
    """The commands of a parser, which prints its help where none of them is given."""

    def __init__(self, parser: Parser) -> None:
        self._parsers = parser.add_subparsers(
            title="commands", metavar="COMMAND", prog=parser.prog, parser_class=Parser
        )
        parser.set_defaults(command=parser, run=parser.print_help)

    def add(self, name: str, run: Callable[..., int | None]) -> Parser:
        """Add a command, described by the docstring of `run`; return what takes its arguments.

        `run` is called with all of them by keyword, and may return an exit code.
        """
        parser = self._add(name, run.__doc__ or "")
        parser.set_defaults(command=parser, run=run)
        return parser

    def add_group(self, name: str, about: str) -> "Commands":
        """Add a command that is made of further ones; return these."""
        return Commands(self._add(name, about))

    def _add(self, name: str, about: str) -> Parser:
        return self._parsers.add_parser(name, help=about.partition("\n")[0], description=about)


class Sentences(HelpFormatter):
    """Help as it is written: in paragraphs, and commands without a heading of their own."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=78)  # to ask the terminal each time takes milliseconds

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        fill = super()._fill_text
        return "\n\n".join(fill(part, width, indent) for part in text.split("\n\n"))

    def _format_action(self, action: Action) -> str:
        if action.nargs != PARSER:
            return super()._format_action(action)
        self._dedent()
        _, _, commands = super()._format_action(action).partition("\n")
        self._indent()
        return commands


def at_least(least: N) -> Callable[[str], N]:
    """Return what reads a number of the type of `least`, and refuses NaN and what is below it."""

    def read(text: str) -> N:
        with suppress(ValueError):
            if (number := type(least)(text)) >= least:
                return number
        kind = "whole number" if isinstance(least, int) else "number"
        raise ArgumentTypeError(f"{text!r} is not a {kind} from {least:g} up")

    return read


def find_root(start: Path | None = None) -> Path:
    """Return the nearest folder upwards, from here, that holds `.guardkit` or `.git`; else here."""
    start = start or Path.cwd()
    folders = (start, *start.parents)
    return next((f for f in folders if (f / ".guardkit").exists() or (f / ".git").exists()), start)


def _root(text: str) -> Path:
    return Path(text) if text else find_root()


def _with_urls(words: list[str]) -> list[str]:
    """Return the words with an empty URL after each --nats that has none: it is another's turn."""
    found: list[str] = []
    for word in words:
        if found and found[-1] == "--nats=" and (":" in word or not word):
            found[-1] = f"--nats={word}"
        else:
            found.append("--nats=" if word == "--nats" else word)
    return found


def _url(text: str) -> str:
    """Return a URL that all users of the machine may see, as they see all command lines."""
    if "@" in text:
        raise ArgumentTypeError(
            "a login does not belong on a command line: set NATS_URL, or NATS_CREDS, NATS_USER and "
            "NATS_PASSWORD, or NATS_TOKEN, or select a context of the nats command"
        )
    return text
