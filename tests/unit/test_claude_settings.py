"""Our status line in the settings of Claude Code: put in, and taken out without a trace."""

import json
import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardkit.errors import InvalidSettingsError
from guardkit.places.claude_settings import install, uninstall

OURS = {"type": "command", "command": "guardkit-statusline", "refreshInterval": 2}
THEIRS = {"type": "command", "command": "~/bin/line.sh --it's", "padding": 0}


def installed(text: str | None) -> str:
    """Install, twice, as that makes no difference; uninstall must put back what was there."""
    after = install(text, "guardkit-statusline")
    assert install(after, "guardkit-statusline") == after
    assert uninstall(after) == text
    return after


def options(text: str) -> list[str]:
    """Return the words of our command, without the program."""
    program, *words = shlex.split(json.loads(text)["statusLine"]["command"])
    assert program == "guardkit-statusline"
    return words


def test_without_a_file_there_is_one_then_and_none_afterwards() -> None:
    after = installed(None)
    assert json.loads(after) == {"statusLine": OURS}
    assert after.startswith('{\n  "statusLine": {\n    "type": "command",\n')


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("{}", id="nothing"),
        pytest.param("{}\n", id="nothing, and a line end"),
        pytest.param("{\n}\n", id="nothing on two lines"),
        pytest.param(' { "a" : 1 } ', id="on one line"),
        pytest.param('{"a":[1,{"statusLine":2}],"b":"}"}', id="in few characters"),
        pytest.param('{\n  "a": 1,\n  "b": {\n    "c": 2\n  }\n}\n', id="two spaces"),
        pytest.param('{\n    "a": 1\n}', id="four spaces"),
        pytest.param('{\n\t"a": 1\n}\n', id="a tab"),
        pytest.param('{\r\n  "a": 1\r\n}\r\n', id="line ends of Windows"),
        pytest.param('{\n\n"a": "\\u00e4 ä \\/"\n}\n', id="no indentation, escapes"),
        pytest.param('\ufeff{"a": 1}', id="a byte order mark"),
        pytest.param('{"a": 1, "a": 2, "a": 3}', id="one name three times"),
    ],
)
def test_all_else_stays_as_it_is_to_the_byte(text: str) -> None:
    after = installed(text)
    assert json.loads(after.lstrip("\ufeff")) == {
        **json.loads(text.lstrip("\ufeff")),
        "statusLine": OURS,
    }
    before, _, rest = text.partition("{")
    assert (after[: len(before) + 1], after[-len(rest) :]) == (f"{before}{{", rest)
    assert ("\r\n" in after) == ("\r\n" in text)


def test_it_is_indented_as_its_neighbours() -> None:
    assert installed('{\n\t"a": 1\n}\n') == (
        '{\n\t"statusLine": {\n\t\t"type": "command",\n\t\t"command": "guardkit-statusline",\n'
        '\t\t"refreshInterval": 2\n\t},\n\t"a": 1\n}\n'
    )


@pytest.mark.parametrize("space", ["", " ", "\n  "], ids=["close", "on one line", "on several"])
def test_a_status_line_that_was_there_is_called(space: str) -> None:
    inner = f",{space}".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in THEIRS.items())
    after = installed(f'{{"a": 1, "statusLine": {{{space}{inner}}}, "b": 2}}')
    assert options(after) == ["--below", THEIRS["command"]]
    line = json.loads(after)["statusLine"]
    assert (line["padding"], line["refreshInterval"]) == (0, 2)


def test_how_often_it_ran_is_left_to_who_chose_it() -> None:
    after = installed('{"statusLine": {"command": "x", "refreshInterval": 9}}')
    assert json.loads(after)["statusLine"]["refreshInterval"] == 9
    assert options(after) == ["--below", "x"]


@pytest.mark.parametrize(
    ("old", "words"),
    [
        pytest.param('{"command": "x", "refreshInterval": 2}', ["--below", "x"], id="as often"),
        pytest.param('{"command": "\\u0078"}', ["--below", "x"], id="escapes"),
        pytest.param('{"command": "x\\u2028"}', ["--below", "x\u2028"], id="a line of Unicode"),
        pytest.param('{"command": "\\ud800"}', ["--below", "\ud800"], id="half a character"),
        pytest.param('{"type": "static"}', [], id="no command"),
        pytest.param('{"command": ""}', [], id="an empty command"),
        pytest.param('{"command": 5}', [], id="a number as command"),
        pytest.param("null", [], id="null"),
        pytest.param('"text"', [], id="a text"),
        pytest.param('[{"command": "x"}]', [], id="a list"),
    ],
)
def test_what_cannot_be_put_back_from_its_command_stands_there_whole(
    old: str, words: list[str]
) -> None:
    after = installed(f'{{"statusLine": {old}}}')
    assert options(after)[: len(words)] == words
    after.encode()


def test_of_two_the_last_one_counts() -> None:
    after = installed('{"statusLine": {"command": "x"}, "statusLine": {"command": "y"}}')
    assert options(after) == ["--below", "y"]


@pytest.mark.parametrize("program", ["/new/bin/guardkit-statusline", "'/a b/guardkit-statusline'"])
def test_a_second_install_brings_the_path_up_to_date(program: str) -> None:
    text = '{\n  "statusLine": {\n    "command": "x"\n  }\n}\n'
    after = install(install(text, "/old/guardkit-statusline"), program)
    assert after == install(text, program)
    assert uninstall(after) == text


@pytest.mark.parametrize(
    "command", ["my-line && guardkit-statusline", "my-guardkit-statusline", "guardkit-statusline '"]
)
def test_what_calls_ours_by_itself_is_left_alone(command: str) -> None:
    text = json.dumps({"statusLine": {"type": "command", "command": command}})
    assert install(text, "guardkit-statusline") == text
    assert uninstall(text) == text


@pytest.mark.parametrize("text", ["{}", '{"statusLine": {"command": "x"}}', '{"statusLine": 1}'])
def test_what_is_not_ours_is_not_taken_out(text: str) -> None:
    assert uninstall(text) == text


def test_it_is_taken_out_after_others_have_changed_the_settings() -> None:
    changed = json.loads(installed('{\n  "a": 1\n}\n')) | {"b": 2}
    assert uninstall(json.dumps(changed, indent=2)) == '{\n  "a": 1,\n  "b": 2\n}'
    moved = {"a": 1, "b": 2, "statusLine": changed["statusLine"]}
    assert uninstall(json.dumps(moved, indent=2)) == '{\n  "a": 1,\n  "b": 2\n}'
    assert uninstall(json.dumps({"statusLine": OURS}, indent=4)) == "{}"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("[]", id="a list"),
        pytest.param("null", id="null"),
        pytest.param('{"a": 1', id="half"),
        pytest.param('{"a": 1} x', id="more behind it"),
        pytest.param('{"a": 1,}', id="a comma too many"),
        pytest.param('{"a": NaN}', id="not a number"),
        pytest.param('{\n  // why\n  "a": 1\n}', id="a comment"),
        pytest.param('{"a":' * 100_000, id="nested too deeply"),
        pytest.param('{"a": ' + "1" * 5000 + "}", id="endless digits"),
    ],
)
def test_what_is_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(InvalidSettingsError, match="no JSON object"):
        install(text, "x")
    with pytest.raises(InvalidSettingsError, match="no JSON object"):
        uninstall(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
LINE = JSON | st.fixed_dictionaries(
    {"command": st.text()}, optional={"refreshInterval": st.just(2), "padding": JSON}
)


@given(
    settings=st.dictionaries(st.text() | st.just("statusLine"), JSON, max_size=4),
    line=st.none() | LINE,
    indent=st.sampled_from([None, 0, 2, 4, "\t"]),
    ascii_only=st.booleans(),
)
def test_whatever_was_there_is_there_again(
    settings: dict[str, Any], line: Any, indent: Any, *, ascii_only: bool
) -> None:
    if line is not None:
        settings["statusLine"] = line
    text = json.dumps(settings, indent=indent, ensure_ascii=ascii_only)
    after = install(text, "guardkit-statusline")
    assert uninstall(after) == text
    for each in (settings, found := json.loads(after)):
        each.pop("statusLine", None)
    assert found == settings
