"""Test runners: what is wrong with a command before it has run, and what would be right here."""

import posixpath
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import msgspec

from guardkit.errors import MisuseError, WorkspaceError
from guardkit.orchestrator.processes.environment import environment
from guardkit.progress.folder import read_file

DEFAULT_TEST = "python -m pytest -q --junitxml={junit}"
JUNIT = "{junit}"
LIMIT = 30.0  # seconds in which Python says whether it has pytest
MANIFEST_MAX = 2**20  # bytes of a package.json that are read


def _copied(command: str, report: str) -> str:
    """Return a command whose report is at a place of its own, and may be that of an earlier run."""
    return f"rm -f {report}; {command}; r=$?; cp {report} {JUNIT}; exit $r"


def _gathered(command: str, folder: str) -> str:
    """Return a command that leaves many reports in a folder, which become one."""
    suites = f"grep -hv '^<?xml' {folder}/TEST-*.xml"
    whole = f"(echo '<testsuites>'; {suites}; echo '</testsuites>') > {JUNIT}"
    return f"rm -rf {folder}; {command}; r=$?; {whole}; exit $r"


NODE = f"node --test --test-reporter=junit --test-reporter-destination={JUNIT}"
BY_PACKAGE = {  # of what a package.json names
    "vitest": f"npx vitest run --reporter=junit --outputFile={JUNIT}",
    "jest": f"JEST_JUNIT_OUTPUT_FILE={JUNIT} npx jest --reporters=jest-junit",
    "mocha": f"npx mocha --reporter mocha-junit-reporter --reporter-options mochaFile={JUNIT}",
}
BY_FILE = {  # the first that is there tells how a repository is tested
    "Cargo.toml": _copied("cargo nextest run --profile ci", "target/nextest/ci/junit.xml"),
    "go.mod": f"gotestsum --junitfile {JUNIT}",
    "pom.xml": _gathered("mvn -q test", "target/surefire-reports"),
    "CMakeLists.txt": f"ctest --test-dir build --output-junit {JUNIT}",
    "meson.build": _copied("meson test -C build", "build/meson-logs/testlog.junit.xml"),
    "composer.json": f"vendor/bin/phpunit --log-junit {JUNIT}",
    "Gemfile": f"bundle exec rspec --format RspecJunitFormatter --out {JUNIT}",
    "pyproject.toml": DEFAULT_TEST,
    "setup.py": DEFAULT_TEST,
    "setup.cfg": DEFAULT_TEST,
}
INSTALLED_BY = {
    "claude": "npm install -g @anthropic-ai/claude-code",
    "codex": "npm install -g @openai/codex",
}
# First words that are the shell's own.
SHELL = re.compile(
    r"\.|:|alias|bg|break|case|cd|command|continue|eval|exec|exit|export|false|fg|for|getopts|if|jobs"
    r"|kill|printf|pwd|read|readonly|return|set|shift|test|time|times|trap|true|type|ulimit|umask"
    r"|unalias|unset|until|wait|while"
)
PLAIN = re.compile(r"[\w.+-]+")
RELATIVE = re.compile(r"[\w.+-][\w./+-]*")
INTERPRETERS = re.compile(r"(ba|da|z|)sh|python[\d.]*|node|perl|ruby")


def check_test(command: str, root: Path) -> None:
    """See that a test command can tell how the tests went, as far as that can be seen before.

    Raises MisuseError where it leaves no report, WorkspaceError where it cannot be run.
    """
    if JUNIT not in command:
        remedy = f"put {JUNIT} where the path of its JUnit report belongs"
        raise MisuseError(f"--test {command!r:.200} leaves no report: {remedy}, as {recipe(root)}")
    if word := _missing(command):
        remedy = f"install it, or give another --test, as {recipe(root)}"
        raise WorkspaceError(f"the test command's {word} is not found: {remedy}")
    if command == DEFAULT_TEST and not _has_pytest(root):
        remedy = f"install pytest, or give --test, as {recipe(root)}"
        raise WorkspaceError(f"python has no pytest: {remedy}")


def check_agent(option: str, command: str) -> None:
    """See that an agent can be run, as far as that can be seen before; raise WorkspaceError.

    option: the one that names it.
    """
    if word := _missing(command):
        install = INSTALLED_BY.get(word, "install it")
        raise WorkspaceError(f"{option}: {word} is not found: {install}, or give another")


def _missing(command: str) -> str:
    """Return the first word of a command, if it names a program that is not there; else ""."""
    try:
        word = next(iter(shlex.split(command)), "")
    except ValueError:  # the shell will say what it makes of that
        return ""
    path = environment({}).get("PATH")
    is_program = PLAIN.fullmatch(word) and not SHELL.fullmatch(word)
    return word if is_program and not shutil.which(word, path=path) else ""


def script(command: str) -> str:
    """Return the path of the script that a command begins with, relative to the worktree, or ""."""
    try:
        first, second, *_ = (*shlex.split(command), "", "")
    except ValueError:  # the shell will say what it makes of that
        return ""
    word = second if INTERPRETERS.fullmatch(first) else first if "/" in first else ""
    path = posixpath.normpath(word) if RELATIVE.fullmatch(word) else ""
    return "" if path.startswith((".", "-")) else path


def recipe(root: Path) -> str:
    """Return a test command that leaves a report, for what is in a repository."""
    found = DEFAULT_TEST
    if (root / "package.json").is_file():
        packages = _packages(root)
        found = next((BY_PACKAGE[each] for each in BY_PACKAGE if each in packages), NODE)
    else:
        found = next((BY_FILE[name] for name in BY_FILE if (root / name).is_file()), found)
    return f"--test {shlex.quote(found)}"


class _Manifest(msgspec.Struct):
    """What is read of a package.json."""

    dependencies: dict[str, str] = {}
    devDependencies: dict[str, str] = {}  # noqa: N815 - its own name


def _packages(root: Path) -> set[str]:
    """Return the names of the packages that a package.json asks for; none of what is none."""
    try:
        text = read_file(root / "package.json", MANIFEST_MAX)
        manifest = msgspec.json.decode(text, type=_Manifest)
    except Exception:  # msgspec: also UnicodeDecodeError, RecursionError; and OSError
        return set()
    return {*manifest.dependencies, *manifest.devDependencies}


def _has_pytest(root: Path) -> bool:
    probe = ("python", "-c", "import pytest")
    try:
        done = subprocess.run(
            probe, cwd=root, env=environment({}), capture_output=True, timeout=LIMIT, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
