from argparse import ArgumentTypeError
from collections.abc import Callable

import pytest

from guardkit.cli import values
from guardkit.errors import InvalidTaskIdError, nearest
from guardkit.progress.paths import check_task_id

SECRET = "s3cret-t0ken"  # noqa: S105


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("2m", 120), ("1h", 3600), ("14d", 1209600), ("0", 0), ("0.5", 0.5)],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert values.seconds_from(0)(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "soon", "-1", "1w", "1 h", "1h30m", "nan", "inf", "1e3", "9" * 400, "٣"]
)
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(
        ArgumentTypeError, match=r"^a duration is wanted, such as 90, 90s, 2m or 1h"
    ):
        values.seconds_from(0)(text)


def test_a_duration_has_a_least() -> None:
    assert values.seconds_from(0.001)("0.001") == 0.001
    with pytest.raises(ArgumentTypeError, match=r"a duration of 0\.001s at least is wanted"):
        values.seconds_from(0.001)("0")


@pytest.mark.parametrize(
    "read",
    [
        values.seconds_from(0),
        values.at_least(1),
        values.at_least(0.5),
        values.one_of("done", "change", "trouble"),
        values.run_id,
        values.url,
        values.project,
    ],
    ids=["duration", "whole number", "number", "one of some words", "run", "URL", "project"],
)
def test_no_error_repeats_what_follows_an_option(read: Callable[[str], object]) -> None:
    for secret in (f"{SECRET}+/=", f"nats://{SECRET}@host"):
        with pytest.raises(ArgumentTypeError) as raised:
            read(secret)
        assert SECRET not in str(raised.value)


def test_a_mistyped_word_of_a_few_is_answered_with_the_nearest() -> None:
    with pytest.raises(ArgumentTypeError) as raised:
        values.one_of("done", "change", "trouble")("chnage")
    assert str(raised.value) == "done, change or trouble is wanted (did you mean change?)"


@pytest.mark.parametrize(
    ("word", "question"),
    [
        ("TASK-FB-02", " (did you mean TASK-FB-002?)"),
        ("nothing like it", ""),
        ("x" * 10**6, ""),
    ],
    ids=["one is near", "none is near", "too long"],
)
def test_the_nearest_word_is_asked_for(word: str, question: str) -> None:
    assert nearest(word, ["TASK-FB-002", "TASK-7"]) == question


@pytest.mark.parametrize("name", ["", "shop", "my.app-2", "a" * 128])
def test_the_name_of_a_project_is_taken_as_it_is(name: str) -> None:
    assert values.project(name) == name


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--nats"], ["--nats="]),
        (["--nats", ""], ["--nats="]),
        (["--nats", "nats://host", "TASK-1"], ["--nats=nats://host", "TASK-1"]),
        (["--nats", "TASK-1"], ["--nats=", "TASK-1"]),
        (["--nats", "--json"], ["--nats=", "--json"]),
        (["--nats=x:1", "TASK-1"], ["--nats=x:1", "TASK-1"]),
        (["T", "--", "nats", "--nats", "x:1"], ["T", "--", "nats", "--nats", "x:1"]),
    ],
    ids=" ".join,
)
def test_a_url_after_nats_has_a_colon(words: list[str], found: list[str]) -> None:
    assert values.split_urls(words) == found


def test_a_word_after_nats_may_be_an_id_but_no_message_repeats_it() -> None:
    [_, word] = values.split_urls(["--nats", SECRET])
    assert check_task_id(word) == SECRET
    assert f"{word}, {word!r}, {word!s}" == ", ".join(["a word that may be a login"] * 3)
    [_, wrong] = values.split_urls(["--nats", f"{SECRET}+/="])
    with pytest.raises(InvalidTaskIdError) as raised:
        check_task_id(wrong)
    assert SECRET not in str(raised.value)
