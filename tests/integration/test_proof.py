"""What is approved, and what never is: with real git and the real pytest."""

import json
import shutil
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any

import pytest

from guardkit.errors import WorkspaceError
from guardkit.orchestrator.loop import BuildResult

from ..repositories import git
from ..shop import PYTEST, RIGHT, build_shop, evidence, make_shop

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("git_identity")]

Build = Callable[..., Coroutine[Any, Any, BuildResult]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_shop(tmp_path / "project")


@pytest.fixture
def build(root: Path) -> Build:
    return partial(build_shop, root)


async def test_a_change_that_the_tests_prove_is_approved_with_its_evidence(
    root: Path, build: Build
) -> None:
    result = await build(RIGHT)
    assert (result.decision, result.summary) == ("approved", "2 tests passing")
    found = evidence(root)
    assert found["changes"] == {"src/shop/prices.py": "M"}
    assert found["imported"]["worktree"] >= 3
    assert found["imported"]["checkout"] == []


NO_OP = "true"
REPORT = '<testsuite tests="1"><testcase name="a" classname="t"/></testsuite>'
DELETED = "git rm -q tests/test_prices.py; printf 'def test_it(): pass\\n' > tests/test_it.py"


@pytest.mark.parametrize(
    ("player", "test", "why"),
    [
        pytest.param(
            NO_OP, PYTEST, "the Player changed nothing in its worktree", id="nothing changed"
        ),
        pytest.param(
            "echo x > a.log; mkdir -p build; echo > build/b.log",
            f"{PYTEST} --deselect tests/test_prices.py::test_tax_is_added",
            "the Player changed nothing in its worktree",
            id="only ignored files changed",
        ),
        pytest.param(
            "sed -i '/tax_is_added/,+2d' tests/test_prices.py",
            PYTEST,
            "nothing but tests has changed, and none was added",
            id="only tests deleted",
        ),
        pytest.param(
            "sed -i '1i import pytest' tests/test_prices.py;"
            "sed -i '/^def test_tax/i @pytest.mark.skip' tests/test_prices.py",
            PYTEST,
            "nothing but tests has changed, and some do not run any more",
            id="only tests skipped",
        ),
        pytest.param(
            "sed -i 's/def test_tax/def no_test_tax/' tests/test_prices.py",
            PYTEST,
            "nothing but tests has changed, and none was added",
            id="only tests disabled",
        ),
        pytest.param(
            "printf '[tool.pytest.ini_options]\\naddopts = \"-k nothing\"\\n' >> pyproject.toml",
            PYTEST,
            "nothing but tests has changed, and none was added",
            id="only tests disabled by their settings",
        ),
        pytest.param(
            "echo collect_ignore=[] > tests/conftest.py;"
            "sed -i '/tax_is_added/,+2d' tests/test_prices.py",
            PYTEST,
            "nothing but tests has changed, and some do not run any more",
            id="only tests deleted, and settings added",
        ),
        pytest.param(
            "echo 'del test_tax_is_added' >> tests/test_prices.py",
            PYTEST,
            "nothing but tests has changed, and some do not run any more",
            id="only tests deleted by a line more",
        ),
        pytest.param(
            "git mv tests/test_prices.py tests/../prices_disabled.py;"
            "printf 'def test_it(): pass\\n' > tests/test_it.py",
            PYTEST,
            "nothing but tests has changed, and none was added",
            id="only tests moved away",
        ),
        pytest.param(
            "printf '[pytest]\\nnorecursedirs = tests\\n' > pytest.ini; mkdir x;"
            "printf 'def test_it(): pass\\n' > x/test_it.py",
            PYTEST,
            "nothing but tests has changed, and some do not run any more",
            id="only tests passed over",
        ),
        pytest.param(
            RIGHT,
            "printf 'def with_tax(cents):\\n    return 2 * cents\\n' > src/shop/prices.py;"
            f"{PYTEST}",
            "the tests have changed files, so what was tested is not what is there: src/shop/pri",
            id="tests that mend the code",
        ),
        pytest.param(
            RIGHT,
            f"echo '{REPORT}' > old.xml; touch -d '2 days ago' old.xml; cp -p old.xml {{junit}}",
            "its report is older than its run",
            id="an old report",
        ),
        pytest.param(
            RIGHT,
            "echo {junit} > /dev/null",
            "the test command exited with 0, and left no report",
            id="no report",
        ),
        pytest.param(
            f"{RIGHT}; echo '{REPORT}' > ${{GUARDKIT_REPORT_FILE%/*}}/coach_turn_1.xml",
            "echo {junit} > /dev/null",
            "the test command exited with 0, and left no report",
            id="a stale report",
        ),
        pytest.param(
            RIGHT,
            f"echo '{REPORT}' > report.xml; echo {{junit}} > /dev/null",
            "the test command exited with 0, and left no report",
            id="a report elsewhere",
        ),
        pytest.param(
            RIGHT,
            f"{PYTEST} --collect-only",
            "the test command exited with 0, 0 tests passed, none failed",
            id="tests that were only collected",
        ),
    ],
)
async def test_what_proves_nothing_is_never_approved(
    root: Path, build: Build, player: str, test: str, why: str
) -> None:
    result = await build(player, test)
    assert result.decision in {"max_turns_exceeded", "configuration_error"}
    assert why in result.summary
    assert git(root, "rev-list", "--count", "autobuild/T1").strip() == "1"


async def test_a_report_outside_of_its_place_is_none(
    root: Path, build: Build, tmp_path: Path
) -> None:
    (tmp_path / "report.xml").write_text(REPORT)
    result = await build(RIGHT, f"ln -s {tmp_path}/report.xml {{junit}}")
    assert result.status == "failed"
    assert "its report cannot be read: it is a link" in result.summary


async def test_what_tests_have_changed_is_not_the_player_s_work(root: Path, build: Build) -> None:
    (root / "state.txt").write_text("0")
    (root / "tests" / "test_prices.py").write_text(
        "from pathlib import Path\n\ndef test_it():\n    Path('state.txt').write_text('1')\n"
        "    Path('left.txt').write_text('1')\n"
    )
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "More")
    result = await build("true", max_turns=2)
    assert result.status == "failed"
    assert "the Player changed nothing in its worktree" in result.summary
    again = await build("true", max_turns=4, resume=True)
    assert "the Player changed nothing in its worktree" in again.summary


async def test_what_a_player_commits_of_what_tests_have_left_stays(
    root: Path, build: Build
) -> None:
    (root / "tests" / "test_prices.py").write_text(
        "from pathlib import Path\nimport shop.prices\n\ndef test_it():\n"
        "    Path('left.txt').write_text('1')\n    assert shop.prices.with_tax(1) == 2\n"
    )
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "More")
    mend = f"{RIGHT}; git add left.txt; git commit -qm Left"
    result = await build(f"test -e left.txt && ({mend}) || echo 1 > other.txt", max_turns=2)
    assert result.decision == "approved"
    assert "left.txt" in git(root, "ls-tree", "--name-only", "autobuild/T1").split()


async def test_a_document_that_approves_is_not_believed_when_a_build_is_resumed(
    root: Path, build: Build
) -> None:
    await build("echo 1 > new.txt")
    path = root / ".guardkit/autobuild/T1/coach_turn_1.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | {"decision": "approve", "issues": []}))
    result = await build("true", resume=True)
    assert result.status == "failed"


NOTE = ".guardkit/autobuild/T1/baseline.json"


def forge(root: Path, *places: str, **values: str) -> None:
    """Change what a build is measured against, in the refs or in our note of it."""
    if "refs" in places:
        for name, value in values.items():
            git(root, "update-ref", f"refs/guardkit/T1/{name}", value)
    if "note" in places:
        document = json.loads((root / NOTE).read_text())
        (root / NOTE).write_text(json.dumps({**document, **values}))


@pytest.mark.parametrize(
    ("places", "why"),
    [
        (
            ["refs"],
            "refs/guardkit/T1/baseline is [0-9a-f]{40}, and baseline.json says [0-9a-f]{40}",
        ),
        (
            ["note"],
            "refs/guardkit/T1/baseline is [0-9a-f]{40}, and baseline.json says [0-9a-f]{40}",
        ),
        (["refs", "note"], "no checkout of [0-9a-f]{12} looks like refs/guardkit/T1/baseline"),
    ],
    ids=["refs", "note", "both"],
)
@pytest.mark.parametrize("kind", ["M", "D", "A"])
async def test_a_build_whose_baseline_somebody_has_changed_is_not_resumed(
    root: Path, build: Build, places: list[str], why: str, kind: str
) -> None:
    await build("true")
    if kind == "D":
        git(root, "rm", "-q", "--cached", "src/shop/prices.py")
    else:
        (root / ("src/shop/prices.py" if kind == "M" else "new.py")).write_text("forged")
        git(root, "add", ".")
    forge(root, *places, baseline=git(root, "write-tree").strip())
    with pytest.raises(WorkspaceError, match=f"T1 cannot be resumed: {why}.*: somebody"):
        await build(RIGHT, max_turns=2, resume=True)


async def test_a_build_whose_base_somebody_has_changed_is_not_resumed(
    root: Path, build: Build
) -> None:
    await build("git commit -q --allow-empty -m Mine")
    forge(root, "refs", base=git(root, "rev-parse", "autobuild/T1").strip())
    with pytest.raises(WorkspaceError, match="refs/guardkit/T1/base is "):
        await build(RIGHT, max_turns=2, resume=True)


async def test_a_build_without_our_note_is_not_resumed(root: Path, build: Build) -> None:
    await build("true")
    (root / NOTE).unlink()
    with pytest.raises(WorkspaceError, match=r"baseline\.json beside its journal is gone"):
        await build(RIGHT, max_turns=2, resume=True)


async def test_a_build_is_resumed_where_filters_make_a_checkout_differ(
    root: Path, build: Build
) -> None:
    (root / "dos.txt").write_bytes(b"1\r\n2\r\n")
    (root / "loud.txt").write_text("quiet\n")
    git(root, "add", ".")
    (root / ".gitattributes").write_text("dos.txt text\nloud.txt filter=loud\n")
    git(root, "add", ".gitattributes")
    git(root, "commit", "-q", "-m", "As it came")
    git(root, "config", "filter.loud.smudge", "tr a-z A-Z")
    await build("rm .gitattributes")
    before = git(root, "diff", "--name-only", "HEAD", "refs/guardkit/T1/baseline")
    assert before.split() == ["dos.txt", "loud.txt"]
    result = await build(RIGHT, max_turns=2, resume=True)
    assert result.decision == "approved"


async def test_a_wrong_expectation_may_be_corrected(root: Path, build: Build) -> None:
    (root / "src/shop/prices.py").write_text("def with_tax(cents):\n    return cents * 3\n")
    git(root, "commit", "-q", "-a", "-m", "Three")
    result = await build("sed -i 's/== 200/== 300/' tests/test_prices.py")
    assert result.decision == "approved"


async def test_a_secret_that_a_failing_test_tells_is_kept_nowhere(
    root: Path, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = 'a"very\\secret-' + "x" * 400
    monkeypatch.setenv("SHOP_TOKEN", secret)
    monkeypatch.setenv("GH_PAT", "another-secret-1")
    use = 'import os\\n\\ndef test_it():\\n    raise AssertionError(os.environ["GH_PAT"])\\n'
    await build(f"printf '{use}' >> tests/test_prices.py")
    folder = root / ".guardkit/autobuild/T1"
    for path in folder.iterdir():
        text = path.read_text()
        assert "another-secret-1" not in text or path.suffix == ".xml"
    assert (folder / "coach_turn_1.xml").stat().st_mode & 0o077 == 0


async def test_no_setting_of_the_user_s_hides_a_change(root: Path, build: Build) -> None:
    git(root, "config", "core.ignoreStat", "true")
    result = await build(RIGHT)
    assert result.decision == "approved"
    assert "cents * 2" in git(root, "show", "autobuild/T1:src/shop/prices.py")


async def test_what_others_read_in_place_of_what_was_tested_is_refused(
    root: Path, build: Build
) -> None:
    new = "$(echo 1 | git hash-object -w --stdin)"
    swap = f"git replace $(git hash-object -w src/shop/prices.py) {new}"
    result = await build(f"{RIGHT}; {swap}")
    assert result.decision == "max_turns_exceeded"
    assert "changed outside the worktree, put it back: refs/replace/" in result.summary
    assert git(root, "rev-list", "--count", "autobuild/T1").strip() == "1"


async def test_a_remote_that_is_added_meanwhile_is_named_and_not_refused(build: Build) -> None:
    result = await build(f"{RIGHT}; git remote add fork https://example.invalid/fork")
    assert result.decision == "approved"


async def test_a_player_that_ends_its_watcher_ends_the_build(build: Build) -> None:
    result = await build(f"{RIGHT}; kill -KILL $PPID; sleep 1000", max_turns=3)
    assert (result.decision, len(result.turns)) == ("error", 1)
    assert "has ended its watcher, and what it has started may run on" in result.summary


async def test_tests_that_were_added_are_work(build: Build, root: Path) -> None:
    result = await build(
        "printf '\\ndef test_more():\\n    assert shop\\n' >> tests/test_prices.py",
        f"{PYTEST} --deselect tests/test_prices.py::test_tax_is_added",
    )
    assert result.decision == "approved"


async def test_a_build_beside_which_the_user_and_others_work_is_approved_and_names_what_changed(
    root: Path, build: Build
) -> None:
    beside = (
        f"cd {root}; echo more >> .gitignore; echo > mine.txt; git commit -qm Mine .gitignore;"
        "git branch autobuild/T2; git tag v1; git update-ref refs/remotes/origin/main HEAD"
    )
    result = await build(f"{RIGHT}; ({beside})")
    assert result.decision == "approved"
    for each in ("mine.txt", "branch main", "tag v1", "refs/remotes/origin/main"):
        assert each in evidence(root)["outside"]
    assert "changed outside the worktree: " in result.summary
    assert not any("T2" in each for each in evidence(root)["outside"])


# whose fault it is that no test was run

MENDS = f"""test $GUARDKIT_TURN = 1 && {{ %s; exit; }}; {RIGHT}; git checkout -q HEAD -- :/tests; \\
rm -f pytest.ini; git checkout -q HEAD -- run.sh"""


@pytest.mark.parametrize(
    ("breaks", "test"),
    [
        pytest.param("echo 'import nothing_such' > tests/conftest.py", PYTEST, id="conftest.py"),
        pytest.param(
            "printf '[pytest]\\naddopts = --no-such\\n' > pytest.ini", PYTEST, id="settings"
        ),
        pytest.param("rm run.sh", f"JUNIT={{junit}} ./run.sh {PYTEST}", id="no such command"),
        pytest.param("chmod -x run.sh", f"JUNIT={{junit}} ./run.sh {PYTEST}", id="not executable"),
        pytest.param(
            "printf '[pytest]\\naddopts = --no-such\\n' > pytest.ini",
            f"../../../beside {PYTEST}",
            id="settings, and a command beside the worktree",
        ),
    ],
)
async def test_a_player_that_breaks_how_tests_are_run_is_told_so_and_may_mend_it(
    root: Path, build: Build, breaks: str, test: str
) -> None:
    for name in ("run.sh", "beside"):
        (root / name).write_text('#!/bin/sh\nexec "$@"\n')
        (root / name).chmod(0o755)
    (root / "tests/conftest.py").write_text("")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "More")
    result = await build(MENDS % breaks, test, max_turns=2)
    assert (result.decision, len(result.turns)) == ("approved", 2)
    first = result.turns[0].issues
    assert "the tests can be started without what the Player has changed" in first


async def test_a_test_command_that_could_not_be_run_before_is_the_user_s_fault(
    root: Path, build: Build
) -> None:
    (root / "tests/conftest.py").write_text("import nothing_such\n")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "Break")
    result = await build(f"{RIGHT}; echo '# nothing' >> tests/conftest.py", max_turns=3)
    assert (result.decision, len(result.turns)) == ("configuration_error", 1)
    assert "mend --test, as " in result.summary


@pytest.mark.skipif(not shutil.which("node"), reason="it takes Node")
async def test_a_file_without_a_test_is_no_test_that_ran(root: Path, build: Build) -> None:
    (root / "sum.test.js").write_text("require('node:test')('adds', () => { throw Error('x'); });")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "Sum")
    node = "node --test --test-reporter=junit --test-reporter-destination={junit}"
    result = await build(": > sum.test.js; echo > sum.js", node)
    assert result.decision == "max_turns_exceeded"
    assert "exited with 0, 0 tests passed, none failed, 1 skipped" in result.summary


# what is cached

CACHED = """\
import importlib.util, os, py_compile
path = "src/shop/prices.py"
to = importlib.util.cache_from_source(os.path.abspath(path))
os.makedirs(os.path.dirname(to), exist_ok=True)
right = path + ".right"
open(right, "w").write("def with_tax(cents):\\n    return cents * 2\\n")
mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
py_compile.compile(right, to, dfile=path, invalidation_mode=mode)
os.remove(right)
open(path, "a").write("\\n# done\\n")
"""


@pytest.mark.parametrize("prefix", ["", "caches"])
async def test_what_a_player_has_left_in_a_cache_is_not_what_the_tests_run(
    root: Path, build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    if prefix:
        monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path / prefix))
    (tmp_path / "cached.py").write_text(CACHED)
    result = await build(f"{quote(sys.executable)} {tmp_path}/cached.py")
    assert result.decision == "max_turns_exceeded"
    assert "test_tax_is_added: AssertionError: assert 100 == 200" in result.summary


async def test_a_cache_that_is_committed_stays(root: Path, build: Build) -> None:
    for name in ("src/shop/__pycache__/kept.pyc", "src/shop/__pycache__/gone.pyc"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("")
    git(root, "add", "--force", "src/shop/__pycache__/kept.pyc")
    git(root, "commit", "-q", "-m", "Keep")
    result = await build(f"{RIGHT}; touch src/shop/__pycache__/gone.pyc")
    assert result.decision == "approved"
    left = [path.name for path in (result.worktree / "src/shop/__pycache__").iterdir()]
    assert left == ["kept.pyc"]
