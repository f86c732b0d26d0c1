"""Lines out of what comes in chunks, whatever their size."""

LINE_MAX = 8 * 2**20  # bytes of a line; a longer one, such as an image in base64, is left out


class Lines:
    """Puts lines together; holds at most `limit` bytes of one that has not ended."""

    def __init__(self, limit: int = LINE_MAX) -> None:
        self._limit = limit
        self._line = bytearray()
        self._too_long = False

    def take(self, chunk: bytes) -> list[bytes]:
        """Return the lines that a chunk ends, without their line ends."""
        lines = list[bytes]()
        first, *others = chunk.split(b"\n")
        self._add(first)
        for part in others:
            if not self._too_long:
                lines.append(bytes(self._line))
            self._line.clear()
            self._too_long = False
            self._add(part)
        return lines

    def _add(self, part: bytes) -> None:
        self._too_long |= len(self._line) + len(part) > self._limit
        if self._too_long:
            self._line.clear()
        else:
            self._line += part
