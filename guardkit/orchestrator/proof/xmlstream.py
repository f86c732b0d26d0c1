"""XML in a stream, read in bounded memory, whatever a test runner has let its tests put into it."""

import codecs
import re
import sys
from collections.abc import Callable, Iterator
from typing import BinaryIO
from xml.parsers import expat

from guardkit.errors import GuardKitError

CHUNK = 1024 * 1024  # bytes that are read at once
PROLOG = 200  # bytes in which the encoding is looked for
MAX_TOKEN = 8 * 1024 * 1024  # bytes of a tag or a comment, which expat holds whole
MAX_DEPTH = 100  # elements within elements
PICTURES = 0x2400  # where the pictures of control characters begin
MAX_NAMES = 10_000  # different names of elements and attributes, which expat never forgets
# Those in which the characters of XML itself are what they are in ASCII, as in UTF-8.
ENCODINGS = ("ascii", "utf-8", "iso8859-", "cp125", "koi8-", "gb", "big5", "euc_", "shift_jis")
_DECLARED = re.compile(rb"""^\s*<\?xml\s[^>]*?encoding\s*=\s*["']([^"'>]{1,40})["']""")
# XML 1.0 forbids these, as they are and by number; runners write them all the same.
_CONTROL = r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]"
_FORBIDDEN = re.compile(_CONTROL + r"|&#(?:x([0-9a-fA-F]{1,16})|([0-9]{1,16}));")
_REFERENCE = 32  # characters of a reference that a chunk may cut in two
_STARTS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)

OnStart = Callable[[str, dict[str, str], int], object]


class ReportError(GuardKitError, ValueError):
    """A report that cannot be read; the message says what is wrong with it, and where."""


def read_xml(
    stream: BinaryIO,
    on_start: OnStart,
    on_end: Callable[[], object],
    on_text: Callable[[str], None],
) -> None:
    """Read a document, and tell of each element as it starts and ends, and of text in pieces.

    on_start is given the name without its namespace, the attributes with theirs, and the line.
    Characters that XML forbids, and bytes that the encoding does not know, are replaced.
    Raises ReportError where it is not XML, is cut off, has a DTD (the only way to entities), is
    nested deeper than `MAX_DEPTH` or holds a tag longer than `MAX_TOKEN`; OSError of the stream.
    """
    names, fed = dict[str, str](), 0
    parser = expat.ParserCreate("UTF-8", intern=names)
    _handle(parser, on_start, on_end)
    parser.buffer_text, parser.CharacterDataHandler = True, on_text
    try:
        for piece in _pieces(stream):
            fed += len(piece)
            parser.Parse(piece)
            if fed - parser.CurrentByteIndex > MAX_TOKEN:
                raise ReportError(f"a tag or comment of more than {MAX_TOKEN} bytes {_at(parser)}")
            if len(names) > MAX_NAMES:
                raise ReportError(f"more than {MAX_NAMES} different names {_at(parser)}")
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise ReportError(_reason(error, fed)) from None


def _handle(parser: expat.XMLParserType, on_start: OnStart, on_end: Callable[[], object]) -> None:
    """Have a parser tell of elements, up to `MAX_DEPTH` of them, and refuse a DTD."""
    depth = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > MAX_DEPTH:
            raise ReportError(f"more than {MAX_DEPTH} elements within each other {_at(parser)}")
        on_start(tag.rpartition(":")[2], attributes, parser.CurrentLineNumber)

    def end(_: str) -> None:
        nonlocal depth
        depth -= 1
        on_end()

    def refuse(*_: object) -> None:
        raise ReportError(f"a DTD, which may hide or multiply what it says, {_at(parser)}")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.StartDoctypeDeclHandler = refuse


def _at(parser: expat.XMLParserType) -> str:
    return f"in line {parser.CurrentLineNumber}, column {parser.CurrentColumnNumber + 1}"


def _reason(error: expat.ExpatError, fed: int) -> str:
    if not fed:
        return "it is empty"
    where = f"in line {error.lineno}, column {error.offset + 1}"
    words = expat.ErrorString(error.code)
    cut_off = words in {"no element found", "unclosed token", "unclosed CDATA section"}
    return f"it is cut off {where} ({words})" if cut_off else f"it is no XML {where}: {words}"


def _pieces(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the document in UTF-8, piece by piece, without what XML forbids."""
    chunk, rest = stream.read(CHUNK), ""
    while len(chunk) < PROLOG and (more := stream.read(CHUNK)):
        chunk += more
    decoder = codecs.getincrementaldecoder(_encoding(chunk))("replace")
    while chunk:
        text = rest + decoder.decode(chunk)
        cut = text.rfind("&", -_REFERENCE)
        if cut < 0 or ";" in text[cut:]:
            cut = len(text)
        yield _FORBIDDEN.sub(_replacement, text[:cut]).encode()
        chunk, rest = stream.read(CHUNK), text[cut:]
    yield _FORBIDDEN.sub(_replacement, rest + decoder.decode(b"", True)).encode()


def _encoding(start: bytes) -> str:
    """Return the codec of a document by its first bytes; UTF-8 where they do not tell."""
    known = next((codec for mark, codec in _STARTS if start.startswith(mark)), None)
    declared = _DECLARED.match(start)
    if known or not declared:
        return known or "utf-8"
    name = declared[1].decode("ascii", "replace")
    try:
        codec = codecs.lookup(name).name
    except (LookupError, ValueError):
        codec = ""
    if codec.startswith(("utf-16", "utf_16")):  # it is not: its prolog could be read
        return "utf-8"
    if not codec.startswith(ENCODINGS):
        raise ReportError(f"its encoding {name!a} cannot be read: have it written in UTF-8")
    return codec


def _replacement(found: re.Match[str]) -> str:
    """Return a picture of a control character, U+FFFD for what else is forbidden."""
    text, (hexadecimal, decimal) = found[0], found.groups()
    code = int(hexadecimal, 16) if hexadecimal else int(decimal or ord(text))
    if code <= sys.maxunicode and not re.match(_CONTROL, chr(code)):
        return text  # a reference to what is allowed
    return chr(PICTURES + code) if code < ord(" ") else "\N{REPLACEMENT CHARACTER}"
