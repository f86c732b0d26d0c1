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
from guardkit.orchestrator.features.file import FILE_MAX, find_file, open_features
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


class Spliced(msgspec.Struct, frozen=True):
    """The text of a feature file, and where in it the words of status are."""

    text: str
    places: Mapping[str, Place]


def splice(before: Spliced, words: Mapping[str, str]) -> Spliced:
    """Return the text of a feature file with other words of status.

    words: by the id of a task or of the feature. One that has no status of its own in the text
    stays without.
    """
    pieces, places, end, grown = list[str](), dict[str, Place](), 0, 0
    for each, place in sorted(before.places.items(), key=lambda pair: pair[1].start):
        old = before.text[place.start : place.end]
        new = place.fill(words[each]) if each in words else old
        pieces += before.text[end : place.start], new
        end, start = place.end, place.start + grown
        grown += len(new) - len(old)
        is_new = len(new) > 0 and not old  # after the blank that goes before it
        places[each] = Place(start + is_new, start + len(new), place.quote)
    return Spliced("".join((*pieces, before.text[end:])), places)


def read_places(text: str) -> Spliced:
    """Return a text, and where its words of status are; raises yaml.YAMLError."""
    return Spliced(text, find_places(text))


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
        self._known = Spliced("", {})  # what we have written last: to parse it takes its time

    def update(self, words: Mapping[str, str]) -> str:
        """Put other words of status into the file; return why that cannot be, or ""."""
        try:
            with open_features(self._root) as folder:
                name = find_file(folder, self._feature_id)
                for _ in range(TRIES):
                    if self._replace(folder, name, words):
                        return ""
            return f"{folder.path}/{name} is changed again and again"
        except (InvalidFeatureError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
            return f"the status cannot be written: {' '.join(str(error).split())}"
        except OSError as error:
            return f"{error.filename} cannot be written: {error.strerror}"

    def _replace(self, folder: Folder, name: str, words: Mapping[str, str]) -> bool:
        """Return whether the file now tells the words; False: it was changed meanwhile."""
        mode, old = stat.S_IMODE(folder.status(name).st_mode), folder.read(name, FILE_MAX)
        text = old.decode()
        new = splice(self._known if self._known.text == text else read_places(text), words)
        document = new.text.encode()
        if document != old and not _write(folder, name, old, document, mode):
            return False
        self._known = new
        return True


def _write(folder: Folder, name: str, old: bytes, document: bytes, mode: int) -> bool:
    """Write a file whole, if it is as it was; return whether that was so."""
    aside = temporary()
    fd = folder.file(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        try:
            write_all(fd, document)
            os.fchmod(fd, mode)
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
