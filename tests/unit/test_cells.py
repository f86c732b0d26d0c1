import pytest

from guardkit.places.cells import cell_len, cut


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        pytest.param("", 0, id="nothing"),
        pytest.param("abc", 3, id="ASCII"),
        pytest.param("äöü…", 4, id="narrow"),
        pytest.param("日本語", 6, id="wide"),
        pytest.param("\N{FULLWIDTH LATIN SMALL LETTER A}b", 3, id="full width"),
        pytest.param("e\N{COMBINING ACUTE ACCENT}", 1, id="a mark on a letter"),
        pytest.param("a🚀b", 4, id="a picture"),
    ],
)
def test_a_text_takes_as_many_cells_as_a_terminal_gives_it(text: str, cells: int) -> None:
    assert cell_len(text) == cells


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        pytest.param("abcdef", 6, "abcdef", id="fits"),
        pytest.param("abcdef", 5, "abcd…", id="cut"),
        pytest.param("日本語", 4, "日…", id="a wide character is not halved"),
        pytest.param("日本語", 6, "日本語", id="wide ones that fit"),
        pytest.param("e\u0301e\u0301e\u0301", 2, "e\u0301…", id="marks take no room"),
        pytest.param("abc def", 5, "abc…", id="no space before the ellipsis"),
        pytest.param("abcdef", 0, "…", id="no room"),
        pytest.param("no activity for 1915 s", 19, "no activity for…", id="half a figure"),
        pytest.param("running T-1, T-20", 15, "running T-1…", id="half an id"),
        pytest.param("running T-1, T-20 on", 19, "running T-1, T-20…", id="up to a figure"),
        pytest.param("TASK-1234", 7, "TASK-1…", id="the only word"),
        pytest.param("  TASK-1234", 9, "  TASK-1…", id="the only word, set in"),
        pytest.param("Player Implementation", 9, "Player…", id="too little of a word"),
        pytest.param("Player Implementation", 12, "Player Impl…", id="enough of a word"),
    ],
)
def test_texts_are_cut_to_the_width_in_cells(text: str, width: int, shown: str) -> None:
    assert cut(text, width) == shown
