import pytest

from guardkit.orchestrator.run.lines import SIZE, Lines


@pytest.fixture
def lines() -> Lines:
    return Lines()


def test_each_line_is_returned_once(lines: Lines) -> None:
    lines.feed(b"one\ntwo\n")
    assert lines.take() == ["one", "two"]
    lines.feed(b"three\n")
    assert lines.take() == ["three"]
    assert lines.take() == lines.take(whole=True) == []


def test_a_line_that_has_not_ended_waits_for_its_end(lines: Lines) -> None:
    lines.feed(b"one\ntw")
    assert lines.take() == ["one"]
    lines.feed(b"o\n")
    assert lines.take() == ["two"]


def test_a_line_that_has_not_ended_counts_if_that_is_wanted_and_again_when_it_goes_on(
    lines: Lines,
) -> None:
    lines.feed(b"test_s.py ...")
    assert lines.take(whole=True) == ["test_s.py ..."]
    lines.feed(b"..  [100%]\n")
    assert lines.take(whole=True) == ["test_s.py .....  [100%]"]


def test_a_carriage_return_ends_a_line(lines: Lines) -> None:
    lines.feed(b"\r 10%|# | 1/10\r 20%|##| 2/10")
    assert lines.take() == [" 10%|# | 1/10"]
    lines.feed(b"\r 30%|##| 3/10")
    assert lines.take() == [" 20%|##| 2/10"]
    assert lines.take(whole=True) == [" 30%|##| 3/10"]


def test_lines_are_plain_and_empty_ones_are_none(lines: Lines) -> None:
    lines.feed(b"\x1b[1;31mred\x1b[0m \xff\r\n\r\n  \x1b[K\r\n\x1b]0;title\x07\n")
    assert lines.take() == ["red \ufffd"]


def test_what_a_terminal_shows_of_a_key_is_no_line(lines: Lines) -> None:
    lines.feed(b"working\r\n^C\r\n^C^Z\r\n")
    assert lines.take(whole=True) == ["working"]


def test_of_much_the_end_is_kept_from_its_first_whole_line(lines: Lines) -> None:
    lines.feed(b"early\n" + b"x" * SIZE + b"\nlast\n")
    assert lines.take() == ["last"]
    for _ in range(100):
        lines.feed(b"y" * 1000)
    assert lines.take() == []
    [line] = lines.take(whole=True)
    assert set(line) == {"y"}
    lines.feed(b"\nend\n")
    assert lines.take() == ["end"]


def test_many_small_pieces_are_as_one(lines: Lines) -> None:
    text = b"".join(b"line %d\r\n" % number for number in range(500))
    for at in range(len(text)):
        lines.feed(text[at : at + 1])
    assert lines.take() == [f"line {number}" for number in range(500)]


def test_what_is_drawn_on_the_full_screen_is_no_line(lines: Lines) -> None:
    lines.feed(b"before\n\x1b[?1049h\x1b[Hmenu\r\n[ 45%] cpu\r\n")
    assert lines.take(whole=True) == []
    lines.feed(b"more\r\n")
    assert lines.take(whole=True) == []
    lines.feed(b"\x1b[?1049lafter\r\n")
    assert lines.take(whole=True) == ["after"]
