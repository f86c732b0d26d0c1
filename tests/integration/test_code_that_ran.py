"""Which code the tests have run: that of the worktree, and what will be committed of it."""

import os
import sys
import textwrap
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any

import pytest

from guardkit import SystemClock
from guardkit.orchestrator.loop import BuildResult
from guardkit.orchestrator.repository.drop import drop, find_left

from ..repositories import git, make
from ..shop import PYTEST, RIGHT, build_shop, evidence, make_shop

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("git_identity")]

Build = Callable[..., Coroutine[Any, Any, BuildResult]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_shop(tmp_path / "project")


@pytest.fixture
def build(root: Path) -> Build:
    return partial(build_shop, root)


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


# what was run, and is not committed

OWN = "def with_tax(cents):\\n    return cents * 2\\n"
USE = "echo 'from {0} import with_tax' > src/shop/prices.py"
IGNORED = "printf 'build/\\nvendor/\\n*.zip\\n*.pyc\\n' > .gitignore"
AHEAD = """printf 'import sys; sys.path.insert(0, "{0}")\\n' > conftest.py"""


def hidden(at: str, *, name: str = "hidden", ahead: str = "") -> str:
    """Return a Player whose work is in a file `at` that will not be committed."""
    folder, use = os.path.dirname(at), USE.format(name)
    lead = AHEAD.format(ahead or folder)
    return f"{IGNORED}; mkdir -p {folder}; printf '{OWN}' > {at}; {lead}; {use}"


FROZEN = f"cd build; {quote(sys.executable)} -m compileall -qb hidden.py; rm hidden.py"
ZIPPED = f"cd build; {quote(sys.executable)} -m zipfile -c ../x.zip hidden.py; rm hidden.py"


@pytest.mark.parametrize(
    ("player", "named"),
    [
        pytest.param(hidden("build/hidden.py"), "build/hidden.py", id="in an ignored folder"),
        pytest.param(hidden(".guardkit/hidden.py"), ".guardkit/hidden.py", id="in .guardkit"),
        pytest.param(
            hidden("$ROOT/../beside/hidden.py", ahead="lib") + "; ln -s $ROOT/../beside lib",
            "lib",
            id="behind a link",
        ),
        pytest.param(
            f"{hidden('build/hidden.py')}; ({FROZEN})", "build/hidden.pyc", id="without a source"
        ),
        pytest.param(
            f"{hidden('build/hidden.py', ahead='x.zip')}; ({ZIPPED})", "x.zip", id="in an archive"
        ),
        pytest.param(
            f"{hidden('build/hidden.py')}; echo 'import hidden; del sys.modules[\"hidden\"]'"
            " >> conftest.py",
            "build/hidden.py",
            id="forgotten by Python",
        ),
        pytest.param(
            f"{hidden('build/hidden.py')}; git init -q build; git -C build add .",
            "build/hidden.py",
            id="in a repository of its own",
        ),
    ],
)
async def test_code_that_is_not_committed_proves_nothing(
    root: Path, build: Build, monkeypatch: pytest.MonkeyPatch, player: str, named: str
) -> None:
    monkeypatch.setenv("ROOT", str(root))
    result = await build(player)
    assert result.decision == "max_turns_exceeded"
    why = "the tests ran code that will not be committed, add it or remove it: "
    assert result.summary.endswith(why + named)


async def test_code_that_was_added_though_it_is_ignored_is_committed(
    root: Path, build: Build
) -> None:
    result = await build(f"{hidden('build/hidden.py')}; git add -f build/hidden.py")
    assert result.decision == "approved"
    assert "return cents * 2" in git(root, "show", "autobuild/T1:build/hidden.py")


async def test_code_that_the_tests_make_themselves_is_all_right_in_later_turns_too(
    root: Path, build: Build
) -> None:
    make = "test -e build/made.py || { mkdir -p build; echo 'TWO = 2' > build/made.py; }"
    use = "printf 'from made import TWO\\ndef with_tax(cents):\\n    return cents * TWO\\n'"
    first = f"{IGNORED}; {AHEAD.format('build')}; echo 'import made' > src/shop/prices.py"
    player = f"test $GUARDKIT_TURN = 1 && {{ {first}; }} || {use} > src/shop/prices.py"
    result = await build(player, f"{make}; {PYTEST}", max_turns=2)
    assert (result.decision, len(result.turns)) == ("approved", 2)
    assert [*evidence(root)["imported"]["made"]] == ["build/made.py"]


async def test_code_that_tests_have_made_and_a_player_has_changed_is_not(
    root: Path, build: Build
) -> None:
    make = "test -e build/made.py || { mkdir -p build; echo 'TWO = 1' > build/made.py; }"
    use = "printf 'from made import TWO\\ndef with_tax(cents):\\n    return cents * TWO\\n'"
    first = f"{IGNORED}; {AHEAD.format('build')}; {use} > src/shop/prices.py"
    player = f"test $GUARDKIT_TURN = 1 && {{ {first}; }} || echo 'TWO = 2' > build/made.py"
    result = await build(player, f"{make}; {PYTEST}", max_turns=2)
    assert result.decision == "max_turns_exceeded"
    assert "not be committed, add it or remove it: build/made.py" in result.summary


async def test_a_link_that_was_there_before_may_lead_out_to_what_has_not_changed(
    root: Path, build: Build, tmp_path: Path
) -> None:
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "hidden.py").write_text("TWO = 2\n")
    (root / "lib").symlink_to(tmp_path / "beside")
    (root / "conftest.py").write_text("import sys; sys.path.insert(0, 'lib'); import hidden\n")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "Lead out")
    change = f"echo 'TWO = 2 # changed' > {tmp_path}/beside/hidden.py"
    refused = await build(f"{RIGHT}; {change}")
    assert refused.summary.endswith("will not be committed, add it or remove it: lib")
    result = await build("true", resume=True, max_turns=2)
    assert result.decision == "approved"


async def test_installed_packages_in_a_virtual_environment_are_not_the_worktree_s_code(
    root: Path, build: Build
) -> None:
    python = quote(sys.executable)
    site = "site=$(echo .venv/lib/python*/site-packages)"
    player = f"""{RIGHT}; echo .venv > .gitignore; {python} -m venv --system-site-packages .venv
{site}; mkdir $site/two-1.dist-info; echo 'TWO = 2' > $site/two.py
hash=$({python} -c "import base64, hashlib; d = hashlib.sha256(b'TWO = 2\\\\n').digest();
print(base64.urlsafe_b64encode(d).decode().rstrip('='))")
echo "two.py,sha256=$hash,8" > $site/two-1.dist-info/RECORD
echo 'import two' > conftest.py"""
    test = PYTEST.replace(python, ".venv/bin/python")
    assert (await build(player, test)).decision == "approved"
    await drop(await find_left(root, "T1", SystemClock()))
    changed = await build(f"{player}; {site}; echo 'TWO = 3' > $site/two.py", test)
    assert "will not be committed, add it or remove it: .venv/lib/" in changed.summary


@pytest.mark.parametrize(
    ("player", "decision"),
    [(RIGHT, "approved"), (f"{RIGHT}; echo 'TWO = 3' > lib/two.py", "max_turns_exceeded")],
    ids=["as it was", "changed"],
)
async def test_code_of_a_submodule_is_all_right_as_it_was(
    root: Path,
    build: Build,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    player: str,
    decision: str,
) -> None:
    lib = make(tmp_path / "lib", two__py="TWO = 2\n")
    allowed = ("-c", "protocol.file.allow=always")
    git(root, *allowed, "submodule", "add", "-q", lib, "lib")
    (root / "conftest.py").write_text("import sys; sys.path.insert(0, 'lib'); import two\n")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "Lib")
    assert (await build(player)).decision == decision


# what was read


SHOP = "from pathlib import Path; import os; SHOP = Path(os.environ['SHOP'])\n"


@pytest.fixture
def shop(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have the tests read data of the checkout, as an editable install may."""
    monkeypatch.setenv("SHOP", str(root))
    (root / "src/shop/rates.txt").write_text("2")
    (root / "src/shop/prices.py").write_text(
        f"{SHOP}def with_tax(cents):\n"
        "    return cents * int((SHOP / 'src/shop/rates.txt').read_text())\n"
    )
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "Rates")
    return root


async def test_where_the_tests_read_the_checkout_s_data_it_is_said_and_not_approved(
    shop: Path, build: Build
) -> None:
    result = await build("echo nonsense > src/shop/rates.txt; echo >> src/shop/__init__.py")
    assert result.decision == "max_turns_exceeded"
    why = "the tests read the checkout's files, not the worktree's: src/shop/rates.txt"
    assert why in result.summary


async def test_a_file_outside_that_the_tests_read_may_not_be_made_meanwhile(
    shop: Path, build: Build
) -> None:
    use = "printf 'assert (shop.prices.SHOP / \"new.txt\").open().close() is None\\n'"
    result = await build(f"{use} >> tests/test_prices.py; echo >> $SHOP/new.txt; echo > new.py")
    assert "changed outside the worktree, and read by the tests: new.txt" in result.summary


async def test_a_file_outside_that_the_tests_make_and_read_is_named(
    shop: Path, build: Build
) -> None:
    use = 'printf \'new = shop.prices.SHOP / "new.txt"\\nnew.touch()\\nnew.write_text(new.name)\\n'
    use += "assert new.read_text()\\n'"
    result = await build(f"{use} >> tests/test_prices.py; echo > new.py")
    assert result.decision == "approved"
    assert "changed outside the worktree: new.txt" in result.summary
