"""Promise 3.3: no reader ever sees the file torn, empty or missing."""

import sys
from pathlib import Path
from subprocess import PIPE

import anyio
import pytest

from guardkit import track_build

pytestmark = pytest.mark.anyio

# Each reads as fast as it can until its standard input ends, then prints how often, and how badly.
PYTHON_READER = """
import json, select, sys
reads = bad = 0
while not select.select([sys.stdin], [], [], 0)[0]:
    try:
        with open(sys.argv[1], "rb") as file:
            bad += json.loads(file.read())["task_id"] != "TASK-1"
    except (OSError, ValueError):
        bad += 1
    reads += 1
print(reads, bad)
"""
PERL_READER = r"""
my ($reads, $bad, $in) = (0, 0, "");
vec($in, 0, 1) = 1;
until (select(my $ready = $in, undef, undef, 0)) {
    my $text = "";
    if (open(my $file, "<", $ARGV[0])) { local $/; $text = <$file> // ""; close($file); }
    $bad++ unless $text =~ /\A\{\n  "build_id": "TASK-1",\n.*\n  "tracker": \{\n[^}]*  \}\n\}\n\z/s;
    $reads++;
}
print "$reads $bad\n";
"""
READERS = {
    "python": [sys.executable, "-c", PYTHON_READER],
    "python again": [sys.executable, "-c", PYTHON_READER],
    "perl": ["perl", "-e", PERL_READER],
}


async def test_three_readers_see_the_file_whole_through_thousands_of_writes(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    writes = 20_000 if pytestconfig.getoption("long") else 2_000
    path = tmp_path / ".guardkit/autobuild/TASK-1/progress.json"
    results: dict[str, tuple[int, int]] = {}

    async def read(name: str, stop: anyio.Event) -> None:
        command = [*READERS[name], str(path)]
        async with await anyio.open_process(command, stdin=PIPE, stderr=None) as process:
            await stop.wait()
            assert process.stdin
            assert process.stdout
            await process.stdin.aclose()
            reads, bad = b"".join([chunk async for chunk in process.stdout]).split()
            results[name] = int(reads), int(bad)

    async with track_build("TASK-1", root=tmp_path) as build, anyio.create_task_group() as group:
        stop = anyio.Event()
        for name in READERS:
            group.start_soon(read, name, stop)
        while (tracker := build.snapshot.tracker) and tracker.seq < writes:
            async with build.phase("Player Implementation"):
                build.update(files_created=tracker.seq, message="x" * (tracker.seq % 500))
        stop.set()
    assert {name: bad for name, (_, bad) in results.items()} == dict.fromkeys(READERS, 0)
    assert all(reads > writes / 20 for reads, _ in results.values()), results
