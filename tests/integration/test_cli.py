import asyncio
import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from guardkit import Snapshot, read_progress, track_build
from guardkit.orchestrator.demo import TASK_ID, TEST, make_demo, player
from guardkit.places.terminal.display import Display
from guardkit.progress.lock import boot_id
from guardkit.progress.snapshot import Tracker, encode

GUARDKIT = (sys.executable, "-m", "guardkit.cli.main")
BUILD = """
import asyncio, sys
from guardkit import track_build

async def main(root, task_id, ending):
    async with track_build(task_id, root=root, wave_total=3) as build:
        async with build.turn() as turn:
            async with turn.phase("Player Implementation"):
                print("ready", flush=True)
                await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
                build.update(files_created=3, tests_passed=5, tests_total=5)
            turn.decide("approve", "Coach approved")
        match ending:
            case "fail":
                build.fail("out of ideas")
            case "cancel":
                raise asyncio.CancelledError
        build.decide("approved")

try:
    asyncio.run(main(*sys.argv[1:]))
except asyncio.CancelledError:
    pass
"""


def guardkit(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; what it prints is text."""
    command = (*GUARDKIT, *words)
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload, no-any-return]


def complaint(ended: subprocess.CompletedProcess[str]) -> str:
    """Return the only line on standard error."""
    [line] = ended.stderr.splitlines()
    return line


@contextmanager
def started(*command: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Start a command with pipes; it does not outlive the block."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE} | options
    with subprocess.Popen(command, text=True, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def building(root: Path, task_id: str, ending: str = "") -> Iterator[subprocess.Popen[str]]:
    """Run a build that stays in its first phase until it is given a line."""
    with started(sys.executable, "-c", BUILD, str(root), task_id, ending) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process


def built(root: Path, task_id: str, ending: str = "") -> None:
    with building(root, task_id, ending) as process:
        process.communicate("go\n")


def lines_until(stream: Iterator[str], text: str) -> list[str]:
    """Read lines up to the first that holds `text`."""
    lines: list[str] = []
    for line in stream:
        lines.append(line.rstrip("\n"))
        if text in line:
            return lines
    pytest.fail(f"no {text!r} in {lines}")


def progress_file(root: Path, task_id: str) -> Path:
    path = root / ".guardkit" / "autobuild" / task_id / "progress.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def test_without_arguments_the_commands_are_listed() -> None:
    ended = guardkit()
    assert (ended.returncode, ended.stderr) == (0, "")
    assert all(word in ended.stdout for word in ("demo", "autobuild", "status", "watch", "schema"))


def test_the_schema_is_json() -> None:
    assert "task_id" in json.dumps(json.loads(guardkit("schema").stdout))


def test_the_version_is_that_of_the_installed_package(tmp_path: Path) -> None:
    (tmp_path / "guardkit-9.9.dist-info").mkdir()
    (tmp_path / "guardkit-9.9.dist-info" / "METADATA").write_text("Name: guardkit\nVersion: 9.9\n")
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    ended = guardkit("--version", env=os.environ | {"PYTHONPATH": path})
    assert ended.stdout == "guardkit 9.9\n"


def test_a_group_of_commands_lists_them() -> None:
    ended = guardkit("autobuild")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert re.search(r"\n  task +Build one task, ", ended.stdout)


COMMANDS = ["", "demo", "autobuild", "autobuild task", "status", "watch", "wait", "log", "schema"]
COMMANDS += ["cancel", "autobuild replay", "autobuild drop", "mcp", "run", "statusline"]
COMMANDS += ["relay", "nats", "nats init", "serve", "report", "autobuild feature"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_a_terminal_and_describes_each_word(command: str) -> None:
    ended = guardkit(*command.split(), "--help", env=os.environ | {"NO_COLOR": "1"})
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith(f"usage: guardkit {command}".rstrip())
    assert max(map(len, ended.stdout.splitlines())) <= 80
    described = re.findall(r"(?m)^  (?=[a-zA-Z-])(?:.*\S)?  +(.*)", ended.stdout)
    assert described
    assert all(text[:1].isupper() for text in described), described
    assert {*re.findall(r"(?m)^( *)\$ ", ended.stdout)} <= {"  "}


@pytest.mark.parametrize(
    ("words", "wrong", "command"),
    [
        ("--nonsense", "there is no option --nonsense", "guardkit"),
        ("nonsense", "there is no command 'nonsense'", "guardkit"),
        ("statsu", "there is no command 'statsu' (did you mean status?)", "guardkit"),
        ("autobuild tsk", "there is no command 'tsk' (did you mean task?)", "guardkit autobuild"),
        ("autobuild task T", "required: --player", "guardkit autobuild task"),
        ("autobuild task --player x", "required: TASK-ID", "guardkit autobuild task"),
        (
            "autobuild task T --playr x",
            "there is no option --playr (did you mean --player?)",
            "guardkit autobuild task",
        ),
        (
            "autobuild task T --player x --max-turns 0",
            "--max-turns: a whole number from 1 up is wanted",
            "guardkit autobuild task",
        ),
        (
            "autobuild task T --player x --test-timeout 0",
            "--test-timeout: a duration of 0.001s at least is wanted",
            "guardkit autobuild task",
        ),
        ("status --jsn", "there is no option --jsn (did you mean --json?)", "guardkit status"),
        ("status --js", "there is no option --js (did you mean --json?)", "guardkit status"),
        ("status T --stall-after -1", "--stall-after: a duration is wanted", "guardkit status"),
        ("status T --root", "--root: expected one argument", "guardkit status"),
        ("wait", "required: ID", "guardkit wait"),
        ("wait T --until chnage", "did you mean change?", "guardkit wait"),
        ("wait T --timeout nan", "--timeout: a duration is wanted", "guardkit wait"),
        ("wait T --run xyz", "16 hexadecimal digits, as --detach prints", "guardkit wait"),
        ("log T U V", "too many arguments: U V", "guardkit log"),
        ("schema T", "too many arguments: T", "guardkit schema"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_where_help_is(
    words: str, wrong: str, command: str
) -> None:
    ended = guardkit(*words.split())
    assert (ended.returncode, ended.stdout) == (2, "")
    said = complaint(ended)
    assert said.startswith("guardkit: ")
    assert wrong in said
    assert said.endswith(f"; see {command} --help")


@pytest.mark.parametrize(
    "words",
    [
        "status --nats s3cret",
        "status --nats s3cret/+=",
        "status --nats=s3cret",
        "status --nats nats://s3cret@host",
        "status --token=s3cret",
        "status -ps3cret",
        "schema --nats s3cret",
        "wait T --until s3cret",
        "wait T --timeout s3cret",
        "wait T --run s3cret",
        "log T --nats s3cret",
        "relay --nats s3cret",
        "autobuild task --player x --nats s3cret",
        "autobuild task T --player x --max-turns s3cret",
        "autobuild task T --player x --nats --project nats://me:s3cret@host",
        "nats init --max-age s3cret",
        "status --nats --project me:s3cret@host",
        "status --nats --project s3cret/+=",
        "nats://me:s3cret@host",
        "status nats://me:s3cret@host",
        "status --json nats://me:s3cret@host",
        "wait T --json nats://me:s3cret@host",
        "log nats://me:s3cret@host",
        "schema me:s3cret@host",
        "autobuild task nats://me:s3cret@host --player x",
    ],
)
def test_what_may_be_a_login_is_never_repeated(tmp_path: Path, words: str) -> None:
    nowhere = {"NATS_URL": "nats://127.0.0.1:1", "HOME": str(tmp_path)}
    ended = guardkit(*words.split(), cwd=tmp_path, env=os.environ | nowhere)
    assert ended.returncode in {2, 7}
    assert "s3cret" not in ended.stdout + ended.stderr


@pytest.mark.parametrize("command", ["status", "watch", "wait", "log"])
def test_a_mistyped_id_is_answered_with_the_nearest(tmp_path: Path, command: str) -> None:
    progress_file(tmp_path, "TASK-FB-002").write_bytes(encode(foreign("TASK-FB-002")))
    ended = guardkit(command, "TASK-FB-02", "--root", str(tmp_path))
    assert ended.returncode == 6
    why = f"no build of TASK-FB-02 is known below {tmp_path} (did you mean TASK-FB-002?)"
    assert complaint(ended) == f"guardkit: {why}"


@pytest.mark.parametrize(
    "words", ["--json TASK-1 TASK-2", "TASK-1 --json TASK-2", "TASK-1 TASK-2 --json"]
)
def test_options_stand_anywhere(tmp_path: Path, words: str) -> None:
    for task_id in ("TASK-1", "TASK-2"):
        progress_file(tmp_path, task_id).write_bytes(encode(foreign(task_id)))
    ended = guardkit("status", *words.split(), "--root", str(tmp_path))
    assert [build["task_id"] for build in json.loads(ended.stdout)] == ["TASK-1", "TASK-2"]


@pytest.mark.parametrize("words", ["--help", "status", "schema", "watch T", "wait T", "log T"])
def test_a_reader_that_has_seen_enough_is_not_complained_of(tmp_path: Path, words: str) -> None:
    built(tmp_path, "T")
    reader, writer = os.pipe()
    os.close(reader)
    pipes = {"cwd": tmp_path, "stdout": writer, "stderr": subprocess.PIPE}
    command = (*GUARDKIT, *words.split())
    ended = subprocess.run(command, **pipes, check=False)  # type: ignore[call-overload]
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (7, b"")


def test_a_complaint_never_goes_to_the_standard_output() -> None:
    command = ("sh", "-c", 'exec "$@" 2>&-', "sh", *GUARDKIT, "nonsense")
    ended = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    assert (ended.returncode, ended.stdout) == (2, b"")


@pytest.mark.parametrize("words", [["--help"], ["status"], ["schema"]])
def test_quick_commands_import_nothing_slow(words: list[str], tmp_path: Path) -> None:
    progress_file(tmp_path, "TASK-1").write_bytes(encode(foreign("TASK-1")))
    slow = "{'asyncio', 'anyio', 'rich', 'yaml', 'pathlib', 'traceback', 'difflib', "
    slow += "'guardkit.nats', 'guardkit.orchestrator'}"
    code = "import sys, atexit; before = {*sys.modules}\n"
    code += f"atexit.register(lambda: print({slow} & ({{*sys.modules}} - before)))\n"
    code += "from guardkit.cli.main import main; main()"
    command = (sys.executable, "-c", code, *words)
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.stdout.endswith("set()\n")


def test_inside_a_worktree_of_ours_the_builds_are_those_of_the_checkout(tmp_path: Path) -> None:
    built(tmp_path, "TASK-1")
    inside = tmp_path / ".guardkit" / "worktrees" / "TASK-1" / "src"
    inside.mkdir(parents=True)
    (inside.parent / ".git").write_text("gitdir: elsewhere\n")
    ended = guardkit("status", "TASK-1", cwd=inside)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")
def test_a_mark_of_another_owner_is_passed_over_with_one_line(tmp_path: Path) -> None:
    built(tmp_path, "TASK-1")
    os.chown(tmp_path / ".guardkit", 4321, 4321)
    start = tmp_path / "mine"
    start.mkdir()
    os.chown(start, 1234, 1234)
    ended = guardkit("status", cwd=start)
    passed, missing = ended.stderr.splitlines()
    assert passed.startswith(f"guardkit: {tmp_path}/.guardkit belongs to user 4321 ")
    assert (ended.returncode, missing) == (6, f"guardkit: no build is known below {start}")
    assert guardkit("status", "--root", str(tmp_path)).returncode == 0


def test_a_working_folder_that_is_gone_is_told_of_with_the_remedy(tmp_path: Path) -> None:
    command = ("sh", "-c", 'cd "$1"; rmdir "$1"; shift; exec "$@"', "sh", str(tmp_path / "gone"))
    (tmp_path / "gone").mkdir()
    ended = subprocess.run(
        (*command, *GUARDKIT, "status"), capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "--root: the working folder is gone: give that of the project" in ended.stderr


def test_status_shows_a_build_that_runs(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    with building(tmp_path, "TASK-1"):
        ended = guardkit("status", "TASK-1", cwd=tmp_path / "src")
    assert ended.returncode == 0, ended.stderr
    one_line, verdict, now, end = ended.stdout.splitlines()
    assert re.fullmatch(
        r"Wave 1/3, TASK-1 \(Turn 1/5, Player Implementation\) - \ds elapsed", one_line
    )
    assert verdict.startswith("running: ")
    assert re.fullmatch(r"does now: Player Implementation for \ds", now)
    assert end == "will end: turn 1 of 5"


def test_status_answers_what_it_can_where_the_journal_cannot_be_read(tmp_path: Path) -> None:
    with building(tmp_path, "TASK-1"):
        journal = progress_file(tmp_path, "TASK-1").with_name("events.jsonl")
        journal.unlink()
        journal.symlink_to("/dev/zero")
        ended = guardkit("status", "--root", str(tmp_path))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.endswith("\nwill end: turn 1 of 5\n")


def test_status_prints_json(tmp_path: Path) -> None:
    with building(tmp_path, "TASK-1"):
        ended = guardkit("status", "--json", "--root", str(tmp_path))
    [build] = json.loads(ended.stdout)
    assert list(build) == ["task_id", "verdict", "progress"]
    assert (build["task_id"], build["verdict"]["state"]) == ("TASK-1", "running")
    assert build["progress"] == json.loads(progress_file(tmp_path, "TASK-1").read_bytes())


def test_status_of_several_builds_is_a_line_each_and_the_worst_code_counts(
    tmp_path: Path,
) -> None:
    built(tmp_path, "TASK-1")
    built(tmp_path, "TASK-2", "cancel")
    with building(tmp_path, "TASK-LONGER-3") as process:
        process.kill()
        process.wait()
        ended = guardkit("status", "--root", str(tmp_path))
    lines = [re.sub(r"\ds elapsed", "0s elapsed", line) for line in ended.stdout.splitlines()]
    place = "(Turn 1/5, Player Implementation) - 0s elapsed"
    assert lines[:2] == [
        f"completed: Wave 1/3, TASK-1 {place}",
        f"cancelled: Wave 1/3, TASK-2 {place}",
    ]
    assert lines[2].startswith(f"crashed:   Wave 1/3, TASK-LONGER-3 {place} - process ")
    assert ended.returncode == 4


@pytest.mark.parametrize(("ending", "code"), [("", 0), ("fail", 1), ("cancel", 3)])
def test_the_exit_code_tells_how_a_build_ended(tmp_path: Path, ending: str, code: int) -> None:
    built(tmp_path, "TASK-1", ending)
    assert guardkit("status", "TASK-1", "--root", str(tmp_path)).returncode == code
    assert guardkit("watch", "TASK-1", "--root", str(tmp_path)).returncode == code


def foreign(task_id: str, message: str | None = None) -> Snapshot:
    """Return what another program may have written, long ago."""
    old = datetime(2025, 1, 31, tzinfo=UTC)
    about = {"build_id": task_id, "task_id": task_id, "turn_max": 5, "message": message}
    return Snapshot(started_at=old, updated_at=old, **about)  # type: ignore[arg-type]


def test_a_stalled_build_exits_with_5(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    tracker = Tracker(
        boot_id=boot_id(), beat=time.monotonic(), activity_at=now - timedelta(hours=1)
    )
    idle = replace(foreign("TASK-1"), updated_at=now, tracker=tracker)
    progress_file(tmp_path, "TASK-1").write_bytes(encode(idle))
    assert guardkit("status", "--root", str(tmp_path)).returncode == 5
    assert guardkit("status", "--root", str(tmp_path), "--stall-after", "2h").returncode == 0


@pytest.mark.parametrize("command", ["status", "watch"])
def test_an_unknown_build_exits_with_6(tmp_path: Path, command: str) -> None:
    ended = guardkit(command, "TASK-1", "--root", str(tmp_path))
    assert ended.returncode == 6
    assert complaint(ended).startswith("guardkit: no build of TASK-1")


@pytest.mark.parametrize(
    ("words", "printed"), [(["status"], ""), (["status", "--json"], "[]\n"), (["watch"], "")]
)
def test_where_nothing_was_ever_built_the_exit_code_is_6(
    tmp_path: Path, words: list[str], printed: str
) -> None:
    ended = guardkit(*words, "--root", str(tmp_path))
    assert (ended.returncode, ended.stdout) == (6, printed)
    assert str(tmp_path) in ended.stderr


def test_watch_without_ids_wants_a_build_that_runs(tmp_path: Path) -> None:
    built(tmp_path, "TASK-1")
    ended = guardkit("watch", "--root", str(tmp_path))
    assert ended.returncode == 6
    assert complaint(ended) == f"guardkit: no build is running below {tmp_path}"


@pytest.mark.parametrize("task_id", ["../../etc/passwd", "", "/", "a" * 200, "a\nb", "-"])
@pytest.mark.parametrize("command", [["status"], ["watch"], ["autobuild", "task", "--player", "x"]])
def test_what_is_no_task_id_is_refused(tmp_path: Path, command: list[str], task_id: str) -> None:
    ended = guardkit(*command, "--root", str(tmp_path), "--", task_id)
    assert ended.returncode == 2
    assert "is not a task id" in complaint(ended)


NEWER = encode(foreign("TASK-1")).replace(b'"schema_version": 1', b'"schema_version": 99')


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(encode(foreign("TASK-1"))[:100], id="half"),
        pytest.param(b"hello\xff", id="not JSON"),
        pytest.param(b"[]", id="another document"),
        pytest.param(NEWER, id="newer schema"),
        pytest.param(None, id="a directory"),
    ],
)
@pytest.mark.parametrize("command", ["status", "watch", "wait"])
def test_a_file_that_cannot_be_read_gives_one_line(
    tmp_path: Path, content: bytes | None, command: str
) -> None:
    path = progress_file(tmp_path, "TASK-1")
    path.mkdir() if content is None else path.write_bytes(content)
    ended = guardkit(command, "TASK-1", "--root", str(tmp_path))
    assert (ended.returncode, ended.stderr) == (7, "")
    [line] = ended.stdout.splitlines()
    assert "TASK-1" in line
    assert "unreadable: " in line
    assert str(path) in line


def test_a_file_that_cannot_be_read_does_not_hide_the_others(tmp_path: Path) -> None:
    built(tmp_path, "TASK-2")
    progress_file(tmp_path, "TASK-1").write_text("{")
    ended = guardkit("status", "--root", str(tmp_path))
    assert (ended.returncode, ended.stderr) == (7, "")
    first, second = ended.stdout.splitlines()
    assert first.startswith("unreadable: TASK-1 - ")
    assert second.startswith("completed:  Wave 1/3, TASK-2 ")


def test_in_json_a_file_that_cannot_be_read_stands_with_its_reason(tmp_path: Path) -> None:
    progress_file(tmp_path, "TASK-1").write_text("{")
    ended = guardkit("status", "--json", "--root", str(tmp_path))
    [build] = json.loads(ended.stdout)
    assert (build["task_id"], build["progress"]) == ("TASK-1", None)
    assert build["verdict"]["state"] == "unreadable"
    assert "not a progress file" in build["verdict"]["evidence"]


def test_texts_of_a_build_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    evil = foreign("TASK-1", "\x1b]0;x\x07[red]\u202e日本\n\x1b[2J")
    progress_file(tmp_path, "TASK-1").write_bytes(encode(evil))
    assert guardkit("status", "--root", str(tmp_path)).stdout.endswith("\n[red]日本\n")


def test_json_has_nothing_that_a_terminal_obeys(tmp_path: Path) -> None:
    evil = "\x9b2J\u202e\u2066\u2028\x7f"
    progress_file(tmp_path, "TASK-1").write_bytes(encode(foreign("TASK-1", evil)))
    told = guardkit("status", "--json", "--root", str(tmp_path)).stdout
    assert json.loads(told)[0]["progress"]["message"] == evil
    assert all(" " <= character <= "~" or character == "\n" for character in told)


def test_what_an_output_cannot_encode_is_replaced(tmp_path: Path) -> None:
    progress_file(tmp_path, "TASK-1").write_bytes(encode(foreign("TASK-1", "日本")))
    latin = os.environ | {"PYTHONIOENCODING": "latin-1"}
    ended = guardkit("status", "--root", str(tmp_path), env=latin)
    assert ended.stdout.endswith("\n??\n")


STORY = [
    "Wave 1/3, TASK-1 (starting) - 0s elapsed",
    "Turn 1 of 5",
    "Player Implementation starting...",
    "✓ Player Implementation  3 files created, 5 tests passing",
    "approve: Coach approved",
    "approved",
    "",
    "== Summary ==",
    "Turn 1  ✓ 5/5 tests  +3",
    "Took",
    "Status: APPROVED",
]


def without_times(lines: list[str]) -> list[str]:
    """Return lines without the times of day, and what something has taken."""
    lines = [re.sub(r"^\[[\d:]{8}\] ", "", line) for line in lines]
    return [re.sub(r"(  |: )[\d:]+$", "", line) for line in lines]


def test_watch_tells_a_build_until_it_is_done(tmp_path: Path) -> None:
    with (
        building(tmp_path, "TASK-1") as build,
        started(*GUARDKIT, "watch", "--root", str(tmp_path)) as watching,
    ):
        assert watching.stdout is not None
        lines = lines_until(watching.stdout, "Player Implementation starting")
        build.communicate("go\n")
        lines += watching.stdout.read().splitlines()
        assert watching.wait() == 0
    assert without_times(lines) == STORY


def test_watch_tells_what_happened_before_it_came(tmp_path: Path) -> None:
    built(tmp_path, "TASK-1", "fail")
    built(tmp_path, "TASK-1")
    ended = guardkit("watch", "TASK-1", "--root", str(tmp_path))
    assert without_times(ended.stdout.splitlines()) == STORY


def test_watch_goes_without_a_journal(tmp_path: Path) -> None:
    built(tmp_path, "TASK-1")
    journal = progress_file(tmp_path, "TASK-1").with_name("events.jsonl")
    for content in ("half a line", "not JSON\n{}\n", None):
        journal.write_text(content) if content else journal.unlink()
        ended = guardkit("watch", "TASK-1", "--root", str(tmp_path))
        assert without_times(ended.stdout.splitlines())[-1] == "Status: APPROVED"


def test_watch_ends_when_a_build_has_crashed(tmp_path: Path) -> None:
    with (
        building(tmp_path, "TASK-1") as build,
        started(*GUARDKIT, "watch", "TASK-1", "--root", str(tmp_path)) as watching,
    ):
        assert watching.stdout is not None
        lines_until(watching.stdout, "Player Implementation starting")
        build.kill()
        assert " ✗ TASK-1 crashed: " in watching.stdout.readline()
        assert watching.wait() == 4


def test_watch_tells_several_builds_apart(tmp_path: Path) -> None:
    built(tmp_path, "TASK-1")
    built(tmp_path, "TASK-2", "fail")
    ended = guardkit("watch", "TASK-1", "TASK-2", "--root", str(tmp_path))
    assert ended.returncode == 1
    for task_id in ("TASK-1", "TASK-2"):
        assert f" {task_id} Player Implementation starting...\n" in ended.stdout
    told = "\n".join(without_times(ended.stdout.splitlines()))
    for task_id, end in (
        ("TASK-1", "APPROVED\n"),
        ("TASK-2", "FAILED - out of ideas\nNext: guardkit log"),
    ):
        lines = f"{task_id} Turn 1  ✓ 5/5 tests  +3\n{task_id} Took\n{task_id} Status: {end}"
        assert f"\n\n== Summary of {task_id} ==\n{lines}" in told


def test_watch_tells_those_builds_that_it_can_read(tmp_path: Path) -> None:
    built(tmp_path, "TASK-1")
    ended = guardkit("watch", "TASK-1", "TASK-2", "--root", str(tmp_path))
    assert ended.returncode == 6
    assert complaint(ended).startswith("guardkit: no build of TASK-2")
    assert without_times(ended.stdout.splitlines()) == STORY


def test_a_build_that_cannot_be_read_does_not_end_the_watch_of_others(tmp_path: Path) -> None:
    progress_file(tmp_path, "TASK-0").write_text("{")
    with (
        building(tmp_path, "TASK-1") as build,
        started(*GUARDKIT, "watch", "--root", str(tmp_path)) as watching,
    ):
        assert watching.stdout is not None
        lines = lines_until(watching.stdout, "Player Implementation starting")
        assert " ✗ TASK-0 unreadable: " in lines[0]
        build.communicate("go\n")
        assert "Status: APPROVED\n" in watching.stdout.read()
        assert watching.wait() == 7


def test_watch_ends_when_nobody_reads_it(tmp_path: Path) -> None:
    with (
        building(tmp_path, "TASK-1"),
        started(*GUARDKIT, "watch", "TASK-1", "--root", str(tmp_path)) as watching,
    ):
        assert watching.stdout is not None
        lines_until(watching.stdout, "Player Implementation starting")
        watching.stdout.close()
        assert watching.wait() == 7


def ignore(_: str) -> None:
    pass


def on_terminal(
    columns: int, *command: str, before: Callable[[str], None], env: dict[str, str] | None = None
) -> tuple[int, str]:
    """Run a command on a terminal; `before` is told all that it printed, each time it prints."""
    controller, terminal = pty.openpty()
    with suppress(OSError):
        import termios

        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in {"COLUMNS", "LINES", "NO_COLOR"}}
    environment |= {"TERM": "xterm-256color"} | (env or {})
    with subprocess.Popen(command, stdin=terminal, stdout=terminal, env=environment) as process:
        os.close(terminal)
        printed = b""
        while select.select([controller], [], [], 30)[0]:
            try:
                chunk = os.read(controller, 65536)
            except OSError:  # EIO: the last one has left the terminal
                break
            printed += chunk
            before(printed.decode(errors="replace"))
        os.close(controller)
        return process.wait(), printed.decode()


def shown(printed: str) -> str:
    """Return what a terminal is sent, without what it obeys."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07", "", printed)


@pytest.mark.parametrize("columns", [80, 40])
def test_on_a_terminal_what_runs_ticks_below_the_events(tmp_path: Path, columns: int) -> None:
    with building(tmp_path, "TASK-1") as build:

        def let_it_end(printed: str) -> None:
            if "Player Imp" in printed and build.stdin and not build.stdin.closed:
                build.stdin.close()

        command = (*GUARDKIT, "watch", "TASK-1", "--root", str(tmp_path))
        code, printed = on_terminal(columns, *command, before=let_it_end)
    assert code == 0
    assert printed.count("\x1b[?25l") == printed.count("\x1b[?25h") == 1, "the cursor is back"
    plain = shown(printed)
    assert max(map(len, re.findall(r"[^\r\n]*Player Imp[^\r\n]*", plain))) <= columns
    assert "Status: APPROVED\r\n" in plain
    rest = printed[printed.rindex("Player Imp") :]
    assert rest.count("\x1b[2K") >= 2, "the board is wiped out"


@pytest.mark.parametrize("name", ["COLUMNS", "LINES"])
def test_a_terminal_that_says_it_has_no_room_is_shown_all_the_same(
    tmp_path: Path, name: str
) -> None:
    built(tmp_path, "TASK-1")
    command = (*GUARDKIT, "watch", "TASK-1", "--root", str(tmp_path))
    code, printed = on_terminal(80, *command, before=ignore, env={name: "0"})
    assert code == 0
    assert "Status: APPROVED\r\n" in shown(printed)


def test_no_color_is_heeded(tmp_path: Path) -> None:
    built(tmp_path, "TASK-1")
    command = (*GUARDKIT, "watch", "TASK-1", "--root", str(tmp_path))
    _, coloured = on_terminal(80, *command, before=ignore)
    _, plain = on_terminal(80, *command, before=ignore, env={"NO_COLOR": "1"})
    assert "\x1b[32m" in coloured
    assert "\x1b[32m" not in plain


def test_a_dumb_terminal_gets_plain_lines(tmp_path: Path) -> None:
    built(tmp_path, "TASK-1")
    command = (*GUARDKIT, "watch", "TASK-1", "--root", str(tmp_path))
    assert "\x1b" not in on_terminal(80, *command, before=ignore, env={"TERM": "dumb"})[1]


def test_status_leaves_nothing_out_on_a_narrow_terminal(tmp_path: Path) -> None:
    for task_id in ("TASK-1", "TASK-2"):
        built(tmp_path, task_id)
    command = (*GUARDKIT, "status", "--root", str(tmp_path))
    _, printed = on_terminal(41, *command, before=ignore)
    told = guardkit("status", "--root", str(tmp_path)).stdout
    assert shown(printed).replace("\r\n", "\n") == told
    assert "\x1b[32mcompleted\x1b[0m: Wave" in printed


def autobuild(root: Path, *words: str) -> tuple[str, ...]:
    return (*GUARDKIT, "autobuild", "task", TASK_ID, "--root", str(root), *words)


def test_a_closed_output_does_not_disturb_the_build(tmp_path: Path) -> None:
    root = make_demo(tmp_path)
    words = ("--player", player(), "--test", TEST)
    with started(*autobuild(root, *words), stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        lines_until(process.stdout, "Player Implementation starting")
        process.stdout.close()
        assert process.wait() == 7
        assert process.stderr is not None
        why = "completed, but not all of its output could be written: Broken pipe"
        assert process.stderr.read() == f"guardkit: {TASK_ID} {why}\n"
    assert json.loads(progress_file(root, TASK_ID).read_bytes())["status"] == "completed"


@pytest.mark.anyio
async def test_a_pipe_that_nobody_empties_holds_up_no_build(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    build = track_build("TASK-1", root=tmp_path, sinks=[Display(writer)])
    async with build, build.phase("Setup"):
        assert read_progress("TASK-1", root=tmp_path).phase == "Setup"
    assert read_progress("TASK-1", root=tmp_path).status == "completed"
    os.close(reader)  # which lets the thread go that prints


def test_a_build_whose_output_nobody_reads_ends(tmp_path: Path) -> None:
    root = make_demo(tmp_path)
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writer, b"x" * 4000)
    command = autobuild(root, "--player", player(), "--test", TEST)
    ended = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(reader)
    os.close(writer)
    assert ended.returncode == 7
    assert complaint(ended).endswith("not all of its output could be written: nobody reads it")
    assert json.loads(progress_file(root, TASK_ID).read_bytes())["status"] == "completed"


CLOSED, FULL = ">&-", "> /dev/full"
TAKES_NOTHING = pytest.mark.parametrize(
    ("to", "why"),
    [(CLOSED, "Bad file descriptor"), (FULL, "No space left on device")],
    ids=["closed", "a full disk"],
)


def redirected(to: str, *command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command with a redirection of the shell."""
    words = ("sh", "-c", f'exec "$@" {to}', "sh", *command)
    run = {"capture_output": True, "text": True, "cwd": cwd, "timeout": 60}
    return subprocess.run(words, check=False, **run)  # type: ignore[call-overload, no-any-return]


@TAKES_NOTHING
def test_an_output_that_takes_nothing_does_not_disturb_the_build(
    tmp_path: Path, to: str, why: str
) -> None:
    root = make_demo(tmp_path)
    ended = redirected(to, *autobuild(root, "--player", player(), "--test", TEST))
    assert ended.returncode == 7
    told = f"completed, but not all of its output could be written: {why}"
    assert complaint(ended) == f"guardkit: {TASK_ID} {told}"
    assert json.loads(progress_file(root, TASK_ID).read_bytes())["status"] == "completed"


@TAKES_NOTHING
def test_a_build_that_was_cancelled_says_so_whatever_its_output_takes(
    tmp_path: Path, to: str, why: str
) -> None:
    root = make_demo(tmp_path)
    end = "kill $(ps -o ppid= -p $(ps -o ppid= -p $$)); sleep 600"
    ended = redirected(to, *autobuild(root, "--player", end, "--test", TEST))
    assert ended.returncode == 3
    assert complaint(ended).startswith(f"guardkit: {TASK_ID} was cancelled; its work is kept in ")


@TAKES_NOTHING
@pytest.mark.parametrize(
    "words",
    [
        *("status", "status --json", "log TASK-1", "watch TASK-1", "watch TASK-1 --follow"),
        *("wait TASK-1", "wait TASK-1 --json", "schema", "--help", "--version", "autobuild"),
    ],
)
def test_what_could_not_be_told_is_no_success(
    tmp_path: Path, words: str, to: str, why: str
) -> None:
    built(tmp_path, "TASK-1")
    ended = redirected(to, *GUARDKIT, *words.split(), cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (7, f"guardkit: standard output: {why}\n")


def test_a_build_that_fails_says_why_and_exits_with_1(tmp_path: Path) -> None:
    root = make_demo(tmp_path)
    code = "import sys; sys.stdout.buffer.write(b'\\x1b[31mhello\\x1b[2J\\n')"
    words = ("--player", f'{sys.executable} -c "{code}"', "--test", TEST, "--max-turns", "1")
    ended = subprocess.run(autobuild(root, *words), capture_output=True, text=True, check=False)
    assert ended.returncode == 1, ended.stderr
    assert "\x1b" not in ended.stdout
    assert "Status: FAILED - not approved in 1 turn" in ended.stdout
    assert f"Worktree: {root}/.guardkit/worktrees/{TASK_ID}" in ended.stdout


def test_a_task_that_does_not_exist_is_wrong_usage(tmp_path: Path) -> None:
    ended = guardkit("autobuild", "task", "TASK-1", "--player", "true", "--root", str(tmp_path))
    assert ended.returncode == 2
    assert "TASK-1" in complaint(ended)


def test_without_git_there_is_no_place_to_work(tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "TASK-1.md").write_text("---\nid: TASK-1\n---\n")
    ended = guardkit("autobuild", "task", "TASK-1", "--player", "true", "--root", str(tmp_path))
    assert ended.returncode == 7
    assert "git" in complaint(ended)


def test_a_task_file_that_cannot_be_read_is_no_failed_build(tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "TASK-1-x.md").write_text("no frontmatter")
    ended = guardkit("autobuild", "task", "TASK-1", "--player", "true", "--root", str(tmp_path))
    assert ended.returncode == 7
    assert "TASK-1-x.md" in complaint(ended)


def test_a_defect_is_no_failed_build() -> None:
    code = "import sys; sys.modules['msgspec'] = None; from guardkit.cli.main import main; main()"
    command = (sys.executable, "-c", code, "schema")
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 7
    assert ended.stderr.startswith("Traceback ")


def unblocked(*words: str) -> tuple[int, bytes]:
    """Run a command whose output is a pipe of one page that does not block, read slowly."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writer, False)
    with subprocess.Popen((*GUARDKIT, *words), stdout=writer) as process:
        os.close(writer)
        taken = bytearray()
        while chunk := os.read(reader, 100):
            taken += chunk
        os.close(reader)
        return process.wait(), bytes(taken)


async def build_in_many_turns(root: Path) -> None:
    async with track_build("TASK-1", root=root, turn_max=100) as build:
        for _ in range(100):
            async with build.turn() as turn, turn.phase("Player Implementation"):
                pass


@pytest.mark.parametrize(
    "words",
    ["status", "status --json", "wait --json", "watch TASK-1", "log TASK-1", "log TASK-1 --json"],
)
def test_an_output_that_does_not_block_is_given_all(tmp_path: Path, words: str) -> None:
    asyncio.run(build_in_many_turns(tmp_path))
    ids = [f"TASK-{number}" for number in range(2, 300)]
    for task_id in ids:
        ended = replace(foreign(task_id), status="completed")
        progress_file(tmp_path, task_id).write_bytes(encode(ended))
    command = (*words.split(), *(ids if "wait" in words else ()), "--root", str(tmp_path))
    code, taken = unblocked(*command)
    assert (code, taken) == (0, guardkit(*command).stdout.encode())
    assert len(taken) > 3 * 4096


@pytest.mark.parametrize("word", ["schema", "--help"])
def test_an_output_that_does_not_block_is_given_what_no_build_is_needed_for(word: str) -> None:
    assert unblocked(word) == (0, guardkit(word).stdout.encode())
