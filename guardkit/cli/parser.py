"""The words of a command line: each command is a function, and they become its arguments."""

from __future__ import annotations

import sys
from argparse import PARSER, Action, ArgumentError, ArgumentParser, HelpFormatter, Namespace
from itertools import takewhile

from guardkit.cli import values
from guardkit.errors import MisuseError, nearest
from guardkit.places.plain import clean

TYPE_CHECKING = False  # as in typing, which takes as long to import as Python to start
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, NoReturn

ALL = "The tasks whose builds are meant; by default all."


class Parser(ArgumentParser):
    """What one command takes; those arguments and options that commands share are methods."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(formatter_class=Sentences, allow_abbrev=False, add_help=False, **settings)
        self._runs = False  # another program, whose words follow `--`
        self._positionals.title = "arguments"
        self.add_argument("-h", "--help", action="help", help="Print this help.")

    def add_id(self, *, about: str = "The task whose build is meant.") -> None:
        """Add `task_id`, the one task that a command is about."""
        self.add_argument("task_id", type=values.guarded, metavar="ID", help=about)

    def add_ids(self, *, least: int = 0) -> None:
        """Add `ids`, the tasks that a command is about, `least` of them; none stands for all."""
        number, about = ("+", "The tasks whose builds are meant.") if least else ("*", ALL)
        self.add_argument("ids", nargs=number, type=values.guarded, metavar="ID", help=about)

    def add_program(self) -> None:
        """Add `program`, the words after `--`: a command that is not ours."""
        self._runs = True
        self.usage = f"{self.prog} [OPTION ...] ID -- COMMAND [ARGUMENT ...]"
        about = "The command with its arguments, which are handed on as they are."
        self.add_argument("program", nargs="*", metavar="COMMAND", help=about)

    def add_flag(self, name: str, *, about: str) -> None:
        """Add an option that stands alone, and becomes true."""
        self.add_argument(name, action="store_true", help=about)

    def add_call(self, name: str, function: Callable[[], None], *, about: str) -> None:
        """Add an option that stands for a command without arguments."""
        self.add_argument(name, dest="function", action="store_const", const=function, help=about)

    def add_duration(
        self, name: str, *, about: str, default: float | None = None, least: float = 0.0
    ) -> None:
        """Add an option that is given as a duration, and becomes seconds, `least` of them."""
        read = values.seconds_from(least)
        self.add_argument(name, type=read, default=default, metavar="TIME", help=about)

    def add_stall_after(self) -> None:
        """Add `stall_after`, seconds."""
        about = "How long a build may do nothing until it is stalled, as 90, 90s, 2m or 1h; by "
        self.add_duration("--stall-after", default=1800.0, about=about + "default 30m.")

    def add_root(self) -> None:
        """Add `root`, the folder of the project."""
        about = "The project's folder; by default the nearest one upwards with .guardkit or .git."
        self.add_argument("--root", type=values.root, default="", metavar="DIR", help=about)

    def add_nats(self, *, about: str, default: str | None = None) -> None:
        """Add `nats`, the URL of a server, `""` for the usual one; where it is not given, None."""
        about += " A URL has a colon, as nats://HOST; by default it is that in NATS_URL or of the "
        about += "context of the nats command."
        self.add_argument("--nats", type=values.url, default=default, metavar="[URL]", help=about)

    def add_project(self) -> None:
        """Add `project`, the name of one on a server; where it is not given, None."""
        about = "The project on the server, where several repositories publish to it; by default "
        about += "that in GUARDKIT_PROJECT."
        self.add_argument("--project", type=values.project, metavar="NAME", help=about)

    def add_place(self, *, stalls: bool = False) -> None:
        """Add where builds are looked for, and with `stalls` when they are stalled."""
        if stalls:
            self.add_stall_after()
        self.add_root()
        self.add_nats(about="Look at the builds of all machines, on a NATS server.")
        self.add_project()

    def run(self) -> int | None:
        """Run the command that this process was given; return what it returns: an exit code.

        Words after an option that follows the first ids are ids, too. Raises MisuseError.
        """
        words = values.split_urls(sys.argv[1:])
        found, rest = self.parse_known_args(words)
        arguments: dict[str, Any] = vars(found)
        command, function = arguments.pop("command"), arguments.pop("function")
        if "ids" in arguments and not any(word.startswith("-") for word in rest):
            arguments["ids"] += map(values.guarded, rest)
        elif rest:
            command.refuse(rest, words)
        code: int | None = function(**arguments)
        return code

    def parse_known_args(  # type: ignore[override]
        self, *args: Any, **named: Any
    ) -> tuple[Namespace, list[str]]:
        """Return what was found in a command line, and the words that are left over."""
        words, program = list[str](args[0]), list[str]()
        if self._runs and "--" in words:
            at = words.index("--")
            words, program = words[:at], words[at + 1 :]
        try:
            found: tuple[Namespace, list[str]] = super().parse_known_args(words, *args[1:], **named)
        except MisuseError:
            if not self._subparsers:  # what is missing may be there, mistyped
                long = (word for word in words if word.startswith("--"))
                self._check_options(takewhile("--".__ne__, long))
            raise
        if self._runs:
            self._take(program, *found)
        return found

    def _take(self, program: list[str], found: Namespace, rest: list[str]) -> None:
        """Take the words of another program, which stand behind all of ours."""
        self._check_options(rest)
        if found.program or not program:
            self.error(f"the command stands after --, as in {self.prog} nightly -- make all")
        found.program = program

    def _check_options(self, words: Iterable[str]) -> None:
        """Raise MisuseError for the first word that begins as an option does, and is none."""
        known = [name for action in self._actions for name in action.option_strings]
        for word in words:
            option = word.partition("=")[0] if word.startswith("--") else word[:2]
            if word.startswith("-") and option not in known:
                self.error(f"there is no option {clean(option)}{nearest(option, known)}")

    def refuse(self, rest: list[str], words: list[str]) -> NoReturn:
        """Raise MisuseError for the rest of the words of a command line, which nothing takes."""
        self._check_options(rest)
        left = (word for word in rest if word not in values.unsaid(words))
        told = [f"{values.guarded(clean(word))}" for word in left]
        self.error(f"too many arguments{': ' * bool(told)}{' '.join(told)}")

    def error(self, message: str) -> NoReturn:
        """Raise MisuseError, which says where to look for what is right."""
        raise MisuseError(f"{message.removeprefix('argument ')}; see {self.prog} --help")

    def _check_value(self, action: Action, value: Any) -> None:
        """Raise ArgumentError for a command that there is not: nothing else has choices."""
        if action.choices is not None and value not in action.choices:
            near = nearest(value, action.choices)
            raise ArgumentError(None, f"there is no command {values.guarded(clean(value))!r}{near}")


class Later:
    """The parser of a command, made as soon as that is used: to make all takes milliseconds.

    finish: declares what it takes. settings: as for `Parser`.
    """

    def __init__(self, *, finish: Callable[[Parser], object], **settings: Any) -> None:
        self._finish, self._settings = finish, settings

    def parse_known_args(self, *args: Any) -> tuple[Namespace, list[str]]:
        """Return what the parser does."""
        parser = Parser(**self._settings)
        self._finish(parser)
        return parser.parse_known_args(*args)


class Commands:
    """The commands of a parser, which prints its help where none of them is given."""

    def __init__(self, parser: Parser) -> None:
        later: Any = Later  # where typeshed wants a whole parser
        self._parsers = parser.add_subparsers(
            title="commands", metavar="COMMAND", prog=parser.prog, parser_class=later
        )
        parser.set_defaults(command=parser, function=parser.print_help)

    def add(
        self, name: str, function: Callable[..., int | None], declare: Callable[[Parser], object]
    ) -> None:
        """Add a command.

        function: is called with all arguments by keyword, and may return an exit code; its
            docstring describes the command.
        declare: adds the arguments.
        """

        def finish(parser: Parser) -> None:
            parser.set_defaults(command=parser, function=function)
            declare(parser)

        self._add(name, function.__doc__ or "", finish)

    def add_group(self, name: str, about: str, declare: Callable[[Commands], object]) -> None:
        """Add a command that is made of further ones, which `declare` adds."""
        self._add(name, about, lambda parser: declare(Commands(parser)))

    def _add(self, name: str, about: str, finish: Callable[[Parser], object]) -> None:
        short = about.partition("\n")[0]
        self._parsers.add_parser(name, help=short, description=about, finish=finish)


class Sentences(HelpFormatter):
    """Help as it is written: in paragraphs, lines for a shell, and commands without a heading."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=78)  # to ask the terminal each time takes milliseconds

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        fill = super()._fill_text
        parts: list[str] = []
        for part in text.split("\n\n"):
            is_shell = part.lstrip().startswith("$ ")
            lines = map(str.strip, part.strip().splitlines())
            shell = (f"{indent}  {'  ' * (line[:2] != '$ ')}{line}" for line in lines)
            parts.append("\n".join(shell) if is_shell else fill(part, width, indent))
        return "\n\n".join(parts)

    def _format_action(self, action: Action) -> str:
        if action.nargs != PARSER:
            return super()._format_action(action)
        self._dedent()
        _, _, commands = super()._format_action(action).partition("\n")
        self._indent()
        return commands
