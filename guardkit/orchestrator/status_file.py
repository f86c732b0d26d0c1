"""The words of status in a feature file: they are changed, and nothing else, byte for byte.

YAML that is read and written again is another text: comments, quotes and line ends differ. So each
word is put where the parser says that the old one is.
"""

import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec
import yaml

from guardkit.errors import InvalidFeatureError
from guardkit.orchestrator.feature_file import FILE_MAX, find_file, open_features
from guardkit.orchestrator.tasks import Loader
from guardkit.progress.folder import Folder, temporary, write_all

TRIES = 10  # to replace a file that others write, too
BOM = "\ufeff"
PROPERTIES = re.compile(r"(?:[&!]\S*\s+)*")  # an anchor and a tag, before a value
QUOTES = {"'", '"'}


class Place(msgspec.Struct, frozen=True):
    """Where a word of status is in a text: from `start` to before `end`, in characters."""

    start: int
    end: int
    quote: str = ""

    def fill(self, word: str) -> str:
        """Return what belongs there, so that it is read as a word."""
        return f"{self.quote}{word}{self.quote}" if self.end > self.start else f" {word}"


def splice(text: str, words: Mapping[str, str]) -> str:
    """Return the text of a feature file with other words of status.

    words: by the id of a task or of the feature. One that has no status of its own in the text
    stays without. Raises yaml.YAMLError.
    """
    places = find_places(text)
    wanted = [(places[each], word) for each, word in words.items() if each in places]
    for place, word in sorted(wanted, key=lambda pair: pair[0].start, reverse=True):
        text = text[: place.start] + place.fill(word) + text[place.end :]
    return text


def find_places(text: str) -> dict[str, Place]:
    """Return where the status of each task, and of the feature, is; raises yaml.YAMLError.

    Where one word stands for several, by an alias, nothing can be changed for one of them alone.
    """
    begin = len(text) - len(text.removeprefix(BOM))  # of which libyaml's marks know nothing
    root = yaml.compose(text[begin:], Loader)
    if not isinstance(root, yaml.MappingNode):
        return {}
    uses, found = Counter(map(id, _nodes(root))), dict[str, Place]()
    top = _fields(root)
    for fields in (top, *map(_fields, _mappings(top.get("tasks")))):
        name, status = fields.get("id"), fields.get("status")
        if not (isinstance(name, yaml.ScalarNode) and isinstance(status, yaml.ScalarNode)):
            continue
        if uses[id(status)] == 1 and status.style not in {"|", ">"}:
            found[str(name.value)] = _place(text, status, begin)
    return found


def _mappings(node: yaml.Node | None) -> list[yaml.MappingNode]:
    listed: list[object] = node.value if isinstance(node, yaml.SequenceNode) else []
    return [each for each in listed if isinstance(each, yaml.MappingNode)]


def _fields(node: yaml.MappingNode) -> dict[str, yaml.Node]:
    return {key.value: value for key, value in node.value if isinstance(key, yaml.ScalarNode)}


def _nodes(root: yaml.Node) -> Iterator[yaml.Node]:
    """Yield all nodes, one that is used several times as often; its children once."""
    waiting, seen = [root], set[int]()
    while waiting:
        node = waiting.pop()
        yield node
        if id(node) in seen or isinstance(node, yaml.ScalarNode):
            continue
        seen.add(id(node))
        for each in node.value:
            waiting += each if isinstance(each, tuple) else (each,)


def _place(text: str, node: yaml.ScalarNode, begin: int) -> Place:
    start, end = node.start_mark.index + begin, node.end_mark.index + begin
    found = PROPERTIES.match(text, start, end)
    start = found.end() if found else start
    return Place(start, end, text[start] if text[start:end][:1] in QUOTES else "")


class StatusFile:
    """The file of a feature, as somebody else may write it meanwhile; for one thread at a time."""

    def __init__(self, root: Path, feature_id: str) -> None:
        self._root, self._feature_id = root, feature_id

    def update(self, words: Mapping[str, str]) -> str:
        """Put other words of status into the file; return why that cannot be, or ""."""
        try:
            with open_features(self._root) as folder:
                name = find_file(folder, self._feature_id)
                for _ in range(TRIES):
                    if _replace(folder, name, words):
                        return ""
            return f"{folder.path}/{name} is changed again and again"
        except (InvalidFeatureError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
            return f"the status cannot be written: {' '.join(str(error).split())}"
        except OSError as error:
            return f"{error.filename} cannot be written: {error.strerror}"


def _replace(folder: Folder, name: str, words: Mapping[str, str]) -> bool:
    """Return whether the file now tells the words; False: it was changed meanwhile."""
    before = folder.status(name)
    old = folder.read(name, FILE_MAX)
    new = splice(old.decode(), words).encode()
    if new == old:
        return True
    aside = temporary()
    fd = folder.file(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        try:
            write_all(fd, new)
            os.fchmod(fd, stat.S_IMODE(before.st_mode))
        finally:
            os.close(fd)
        if folder.read(name, FILE_MAX) != old:
            folder.remove(aside)
            return False
        folder.rename(aside, name)
    except OSError:
        with suppress(OSError):
            folder.remove(aside)
        raise
    return True
