"""Our status line in a settings file of Claude Code: put in and taken out, all else as it was.

What was there before stands in the command that is put in: so nothing has to be kept elsewhere, and
what is taken out of the settings of a team puts back what was there for another member of it, too.
"""

from __future__ import annotations

import json
import shlex
from typing import Any, NamedTuple

from guardkit.errors import InvalidSettingsError
from guardkit.places.statusline import NAME

MEMBER = "statusLine"
SPACE, CR = " \t\r\n", "\r"
EVERY = 2  # seconds; by itself, Claude Code does not run the command while a tool runs


def install(text: str | None, program: str) -> str:
    """Return settings with our status line, which prints the one that was there before first.

    text: of the file, None where there is none.
    program: our command, in the words of a shell.
    Raises InvalidSettingsError for what is no JSON object.
    """
    if text is None:
        return _render({MEMBER: _make(program)}, "\n") + "\n"
    first, members = _split(text)
    old = _named(members).get(MEMBER)
    if old and NAME in _command(old.value):
        return install(uninstall(text), program) if _parse(old.value) is not None else text
    if old:
        return text[: old.start] + _around(text[old.start : old.end], program) + text[old.end :]
    space = text[first : _skip(text, first)] if members else ""
    ours = f'{space}"{MEMBER}": {_render(_make(program), space)}{"," * bool(members)}'
    return text[:first] + ours + text[first:]


def uninstall(text: str) -> str | None:
    """Return settings as they were before `install`, None for a file that had not been there.

    Raises InvalidSettingsError for what is no JSON object.
    """
    first, members = _split(text)
    ours = _named(members).get(MEMBER)
    options = _parse(ours.value) if ours else None
    if not ours or options is None:
        return text
    if "--was" in options:
        return text[: ours.start] + options["--was"] + text[ours.end :]
    if "--below" in options:
        before = _before(text[ours.start : ours.end], options["--below"])
        return text[: ours.start] + before + text[ours.end :]
    if text == _render({MEMBER: ours.value}, "\n") + "\n":
        return None
    return _drop(text, first, members, ours)


class Member(NamedTuple):
    """A member of an object in a text.

    name, value: what it is.
    begin, start, end: where the name begins, and where the value begins and ends.
    """

    name: str
    value: Any
    begin: int
    start: int
    end: int


def _split(text: str) -> tuple[int, list[Member]]:
    """Return where an object's text has its first member, spaces included, and all its members.

    Raises InvalidSettingsError.
    """
    decoder = json.JSONDecoder(parse_constant=_refuse)
    brace = _skip(text, text.startswith("\ufeff"))
    try:
        whole, end = decoder.raw_decode(text, brace)
    except (ValueError, RecursionError):
        whole, end = None, 0
    if not _is_object(whole) or text[end:].strip(SPACE):
        raise InvalidSettingsError("it is no JSON object")
    members: list[Member] = []
    at = _skip(text, brace + 1)
    while text[at] != "}":
        begin = _skip(text, at + (text[at] == ","))
        name, colon = decoder.raw_decode(text, begin)
        start = _skip(text, _skip(text, colon) + 1)
        value, end = decoder.raw_decode(text, start)
        members.append(Member(name, value, begin, start, end))
        at = _skip(text, end)
    return brace + 1, members


def _named(members: list[Member]) -> dict[str, Member]:
    """Return members by name; of several the last one, which counts in JavaScript, too."""
    return {each.name: each for each in members}


def _skip(text: str, at: int) -> int:
    """Return where the next character of a text is that is no space."""
    while text[at : at + 1] in SPACE and at < len(text):
        at += 1
    return at


def _refuse(_: str) -> None:
    raise ValueError  # NaN and Infinity are not JSON


def _make(command: str) -> dict[str, object]:
    return {"type": "command", "command": command, "refreshInterval": EVERY}


def _render(value: object, space: str) -> str:
    """Return a value in JSON, indented as what comes after `space` is."""
    line, feed, indent = space.rpartition("\n")
    if not feed:
        return json.dumps(value, ensure_ascii=False)
    lines = json.dumps(value, ensure_ascii=False, indent=indent or 2).split("\n")
    return f"{line[-1:] if line.endswith(CR) else ''}\n{indent}".join(lines)


def _command(value: Any) -> str:
    """Return the command of a status line, "" where there is none."""
    command: object = value.get("command") if _is_object(value) else None
    return command if isinstance(command, str) else ""


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _parse(value: Any) -> dict[str, str] | None:
    """Return the options of our command in a status line, None for another one."""
    try:
        program, *options = shlex.split(_command(value))
    except ValueError:  # it is empty, or no command
        return None
    if program.rpartition("/")[2] != NAME:
        return None
    return dict(zip(options[::2], options[1::2], strict=False))


def _around(old: str, program: str) -> str:
    """Return the text of a status line that prints another one first, whose text is `old`.

    Where the text could not be put back from its command alone, it stands there, too.
    """
    value = json.loads(old)
    command = _command(value)
    below = f"{program} --below {shlex.quote(command)}"
    if not command:
        return _render(_make(f"{program} --was {shlex.quote(old)}"), "")
    simple = _with_command(old, below)
    if _before(simple, command) == old:
        return simple
    return _with_command(old, f"{below} --was {shlex.quote(old)}")


def _with_command(old: str, command: str) -> str:
    """Return the text of a status line with another command, run every two seconds."""
    first, members = _split(old)
    named, every = _named(members), ""
    found = named["command"]
    if "refreshInterval" not in named:
        space = old[first : _skip(old, first)] or " "
        every = f',{space}"refreshInterval": {EVERY}'
    return old[: found.start] + _quote(command) + every + old[found.end :]


def _before(text: str, command: str) -> str:
    """Return what `_with_command` was given, for a command that was there before."""
    _, members = _split(text)
    found = _named(members)["command"]
    end = found.end
    for after in members[members.index(found) + 1 :][:1]:
        if (after.name, after.value) == ("refreshInterval", EVERY):
            end = after.end
    return text[: found.start] + _quote(command) + text[end:]


def _quote(text: str) -> str:
    """Return a text in JSON, as people write it."""
    plain = json.dumps(text, ensure_ascii=False)
    return plain if plain.isprintable() else json.dumps(text)


def _drop(text: str, first: int, members: list[Member], ours: Member) -> str:
    """Return the text of an object without one of its members."""
    at = members.index(ours)
    if members[at + 1 :]:
        return text[: ours.begin] + text[members[at + 1].begin :]
    if at:
        return text[: members[at - 1].end] + text[ours.end :]
    return text[:first] + text[ours.end if ours.begin == first else _skip(text, ours.end) :]
