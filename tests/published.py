"""Builds what is published, checks it, and uses it where there is nothing else.

Run: tox run -e dist
"""

import json
import re
import subprocess
import sys
import tarfile
import venv
from collections.abc import Iterable
from email.parser import Parser
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import urlopen
from zipfile import ZipFile

ROOT = Path(__file__).parents[1]
RECORDS = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}
MADE = {"PKG-INFO"}  # in a source distribution, by what builds it
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "published", "version": "1"},
    },
}
PATIENCE = 120.0  # seconds that a command may take


def main() -> None:
    """Do all of it; what is wrong raises."""
    with TemporaryDirectory(prefix="guardkit-dist-") as folder:
        wheel, source = build(Path(folder, "dist"))
        check_wheel(wheel)
        check_source(source)
        use(wheel, Path(folder))
    print("All of it is ready to be published.")


def build(folder: Path) -> tuple[Path, Path]:
    """Build both, the wheel from the source distribution, and check their metadata."""
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT)
    [wheel], [source] = folder.glob("*.whl"), folder.glob("*.tar.gz")
    run(sys.executable, "-m", "twine", "check", "--strict", wheel, source)
    return wheel, source


def check_wheel(wheel: Path) -> None:
    """See that the package is in the wheel, whole, and nothing else."""
    with ZipFile(wheel) as archive:
        names = {*archive.namelist()}
    [about] = {name.partition("/")[0] for name in names if ".dist-info/" in name}
    compare("the wheel", names, {*tracked("guardkit"), *(f"{about}/{name}" for name in RECORDS)})
    say(f"the wheel has {len(names)} files")


def check_source(source: Path) -> None:
    """See that all that it takes to build and to test is in the source distribution."""
    with tarfile.open(source) as archive:
        names = {
            member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()
        }
    outside = {name for name in tracked() if name.startswith((".ci/", "docs/"))}
    compare("the source distribution", names, ({*tracked()} - outside) | MADE)
    say(f"the source distribution has {len(names)} files")


def use(wheel: Path, folder: Path) -> None:
    """Install the wheel into an empty environment, and run its commands there."""
    programs = folder / "env" / "bin"
    venv.create(programs.parent, with_pip=True)
    run(programs / "pip", "install", "--quiet", wheel)
    run(programs / "pip", "check")
    empty = folder / "empty"
    empty.mkdir()
    guardkit = programs / "guardkit"
    said = run(guardkit, "--version", cwd=empty)
    assert said.strip() == f"guardkit {version(wheel)}", said
    check_mcp(guardkit, empty)
    assert not run(programs / "guardkit-statusline", cwd=empty)
    say("guardkit-statusline shows nothing where nothing is built")
    missing = run(guardkit, "demo", cwd=empty, code=7)
    assert "the demo needs pytest" in missing, missing
    run(programs / "pip", "install", "--quiet", f"{wheel}[demo]")
    assert "Status: APPROVED" in run(guardkit, "demo", "--root", folder / "demo", cwd=empty)
    say("guardkit demo is approved")
    if "web" in extras(wheel):
        check_serve(programs, wheel, folder / "demo")


def check_mcp(guardkit: Path, cwd: Path) -> None:
    """See that the MCP server answers a request, and ends with its input."""
    answer = json.loads(run(guardkit, "mcp", cwd=cwd, given=json.dumps(INITIALIZE) + "\n"))
    assert answer["id"] == 1, answer
    assert answer["result"]["serverInfo"]["name"] == "guardkit", answer
    say("guardkit mcp answers")


def check_serve(programs: Path, wheel: Path, root: Path) -> None:
    """See that the page asks for its extra, and is served with it."""
    command = (programs / "guardkit", "serve", "--port", "0", "--root", root)
    missing = run(*command, code=7)
    assert "guardkit[web]" in missing, missing
    run(programs / "pip", "install", "--quiet", f"{wheel}[web]")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            found = (re.search(r"http://[\w.:\[\]]+[^\s]*", line) for line in server.stdout)
            url = next(filter(None, found))[0]
            with urlopen(url, timeout=PATIENCE) as page:  # noqa: S310 - of our own server
                assert b"TASK-DEMO-001" in page.read()
        finally:
            server.terminate()
    say("guardkit serve shows the demo")


def tracked(*under: str) -> list[str]:
    """Return the files that git knows."""
    return run("git", "-C", ROOT, "ls-files", *under).splitlines()


def version(wheel: Path) -> str:
    """Return the version in the name of a wheel."""
    return wheel.name.split("-")[1]


def extras(wheel: Path) -> list[str]:
    """Return the names of the extras of a wheel."""
    with ZipFile(wheel) as archive:
        [name] = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode()).get_all("Provides-Extra", [])


def compare(what: str, found: Iterable[str], wanted: Iterable[str]) -> None:
    """Raise where two sets of names differ."""
    more, less = sorted({*found} - {*wanted}), sorted({*wanted} - {*found})
    assert not more, f"{what} has what it ought not to have: {more}"
    assert not less, f"{what} lacks {less}"


def run(*command: object, cwd: Path | None = None, given: str = "", code: int = 0) -> str:
    """Run a command; return all that it prints. It has to end with the code."""
    words = [*map(str, command)]
    ended = subprocess.run(
        words,
        cwd=cwd,
        input=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ended.returncode == code, f"{words} ended with {ended.returncode}:\n{ended.stdout}"
    return ended.stdout


def say(what: str) -> None:
    """Print a line at once."""
    print(f"- {what}", flush=True)


if __name__ == "__main__":
    main()
