"""What is approved, and what never is: with real git and the real pytest."""

import json
import os
import sys
import textwrap
from collections.abc import Callable, Coroutine
from pathlib import Path
from shlex import quote
from typing import Any

import anyio
import pytest

from guardkit.errors import WorkspaceError
from guardkit.orchestrator.autobuild import AutoBuildOrchestrator
from guardkit.orchestrator.loop import BuildResult

from ..repositories import git

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("git_identity")]

PYTEST = f"{quote(sys.executable)} -B -m pytest -q -p no:cacheprovider --junitxml={{junit}}"
PRICES = "def with_tax(cents):\n    return cents\n"
RIGHT = "printf 'def with_tax(cents):\\n    return cents * 2\\n' > src/shop/prices.py"
TESTS = """\
import shop.prices

def test_tax_is_added():
    assert shop.prices.with_tax(100) == 200

def test_nothing_costs_nothing():
    assert shop.prices.with_tax(0) == 0
"""

Build = Callable[..., Coroutine[Any, Any, BuildResult]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make a repository with a package in `src`, one test of which fails."""
    folder = tmp_path / "project"
    files = {
        "tasks/T1.md": "---\nid: T1\ntitle: Add tax\n---\n",
        "src/shop/__init__.py": "",
        "src/shop/prices.py": PRICES,
        "tests/test_prices.py": TESTS,
        "pyproject.toml": "[project]\nname = 'shop'\nversion = '1'\n",
        ".gitignore": "*.log\n",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "Begin")
    return folder


@pytest.fixture
def build(root: Path) -> Build:
    async def run(player: str, test: str = PYTEST, **options: Any) -> BuildResult:
        options.setdefault("max_turns", 1)
        with anyio.fail_after(60):
            return await AutoBuildOrchestrator(root, player=player, test=test, **options).run("T1")

    return run


def evidence(root: Path) -> dict[str, Any]:
    path = root / ".guardkit/autobuild/T1/coach_turn_1.json"
    found: dict[str, Any] = json.loads(path.read_text())["validation_results"]
    return found


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


# which code was tested


def editable(folder: Path, root: Path, how: str) -> Path:
    """Make an environment in which the package is installed from the checkout, as `pip -e` does."""
    place = folder / "site"
    place.mkdir()
    if how == "by a path":
        (place / "shop.pth").write_text(f"{root}/src\n")
    else:
        (place / "shop.pth").write_text("import shop_finder; shop_finder.install()\n")
        place_of = {"by a finder before all others": 0, "by a finder behind all others": 99}
        finder = f"""\
            import importlib.machinery, sys

            class Finder:
                @staticmethod
                def find_spec(name, path=None, target=None):
                    if name == "shop":
                        return importlib.machinery.PathFinder.find_spec(name, ["{root}/src"])

            def install():
                sys.meta_path.insert({place_of[how]}, Finder)
            """
        (place / "shop_finder.py").write_text(textwrap.dedent(finder))
    return place


def with_site(place: Path) -> str:
    """Return a test command in whose Python a folder of packages is a site of its own."""
    code = f"import site, sys; site.addsitedir({str(place)!r}); import pytest;"
    code += "sys.exit(pytest.main(sys.argv[1:]))"
    options = "-q -p no:cacheprovider --junitxml={junit}"
    return f"{quote(sys.executable)} -B -c {quote(code)} {options}"


@pytest.mark.parametrize("how", ["by a path", "by a finder behind all others"])
async def test_the_worktree_s_code_comes_before_an_editable_install(
    root: Path, build: Build, tmp_path: Path, how: str
) -> None:
    (root / "src/shop/prices.py").write_text("raise SystemError\n")  # the user's own, uncommitted
    result = await build(RIGHT, with_site(editable(tmp_path, root, how)))
    assert result.decision == "approved"
    assert evidence(root)["imported"]["checkout"] == []


async def test_where_the_tests_ran_the_checkout_s_code_it_is_said_and_not_approved(
    root: Path, build: Build, tmp_path: Path
) -> None:
    (root / "src/shop/prices.py").write_text("def with_tax(cents):\n    return cents * 2\n")
    place = editable(tmp_path, root, "by a finder before all others")
    result = await build("echo 'raise SystemError' > src/shop/prices.py", with_site(place))
    assert result.decision == "max_turns_exceeded"
    why = "the tests ran the checkout's code, not the worktree's: src/shop/prices.py"
    assert why in result.summary
    assert "src/shop/prices.py" in evidence(root)["imported"]["checkout"]


async def test_what_a_subprocess_of_the_tests_runs_is_seen_too(
    root: Path, build: Build, tmp_path: Path
) -> None:
    place = editable(tmp_path, root, "by a finder before all others")
    code = f"import site; site.addsitedir({str(place)!r}); import shop.prices"
    run = f"import subprocess, sys; subprocess.check_call([sys.executable, '-c', {code!r}])"
    (tmp_path / "run.py").write_text(run)
    result = await build(RIGHT, f"{PYTEST} && {quote(sys.executable)} {tmp_path}/run.py")
    assert "the tests ran the checkout's code" in result.summary


async def test_a_file_outside_that_the_tests_ran_may_not_be_changed_meanwhile(
    root: Path, build: Build, tmp_path: Path
) -> None:
    (root / "helpers.py").write_text("def help(): pass\n")
    change = f"echo 'def help(): return 1' > {root}/helpers.py"
    test = f"PYTHONPATH=$PYTHONPATH:{root} {PYTEST}"
    use = "printf 'import helpers\\n' >> tests/test_prices.py"
    result = await build(f"{RIGHT}; {use}; {change}", test)
    assert "changed outside the worktree, and run by the tests: helpers.py" in result.summary


async def test_a_sitecustomize_of_the_user_s_is_run_as_well(
    root: Path, build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import os; os.environ['MINE'] = 'run'\n")
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    )
    use = "printf '\\ndef test_mine():\\n    import os; assert os.environ[\"MINE\"]\\n'"
    result = await build(f"{RIGHT}; {use} >> tests/test_prices.py")
    assert (result.decision, result.summary) == ("approved", "3 tests passing")
