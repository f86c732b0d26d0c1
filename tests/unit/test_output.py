import errno
import os
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from guardkit.places.output import Output, unread


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Open a pipe that does not block when it is written to, as node hands them on."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    yield reader, writer
    for fd in (reader, writer):
        with suppress(OSError):  # the test has closed it
            os.close(fd)


def test_a_pipe_that_does_not_block_is_given_all(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    document = os.urandom(2**20)
    taken: list[bytes] = []

    def take() -> None:
        while sum(map(len, taken)) < len(document):
            taken.append(os.read(reader, 10_000))

    taking = threading.Thread(target=take)
    taking.start()
    assert Output(writer).write(document) == len(document)
    taking.join()
    assert b"".join(taken) == document


def test_a_reader_that_goes_in_the_midst_ends_the_writing(pipe: tuple[int, int]) -> None:
    reader, writer = pipe

    def leave() -> None:
        os.read(reader, 10_000)
        os.close(reader)

    leaving = threading.Thread(target=leave)
    leaving.start()
    with pytest.raises(BrokenPipeError):
        Output(writer).write(bytes(2**20))
    leaving.join()


def test_a_full_disk_raises_what_it_is() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(OSError, match="No space left") as raised:
        Output(full).write(b"x")
    assert raised.value.errno == errno.ENOSPC
    os.close(full)


def test_the_descriptor_is_left_open(pipe: tuple[int, int]) -> None:
    _, writer = pipe
    output = Output(writer)
    output.close()
    assert os.write(writer, b"x") == 1


def test_it_is_known_whether_anybody_may_read(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    assert not unread(writer)
    os.close(reader)
    assert unread(writer)
