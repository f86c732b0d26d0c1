"""What is promised: at most how often the cost of another, for each that has a bound.

Bounds of 1 against `3 ms` and the like are limits in themselves, `at least 4 times less` is 1/4.
"""

UPDATE = "update()"
SCOPE = "enter + leave a phase, no disk"
WRITE_TMPFS = "one write, tmpfs"
WRITE_DISK = "one write, disk"
TRANSITION = "transition awaited, tmpfs"
ON_LOOP = "transition, time on the loop"
LATENCY = "phase entered → another process"
MILLION = "a million updates, processor time more"
HEARTBEATS = "1,000 builds' heartbeats, processor"
MEMORY = "1,000 builds, memory of each"
STATUS = "status of 1,000 builds"
WITH_BUILDS = "growth with builds"
WITH_TURNS = "growth with turns"
IMPORT = "import guardkit"
STATUS_ONE = "guardkit status, one build"
NATS_JOIN = "1,000 builds on NATS, all known to one who joins"
NATS_WATCH = "1,000 builds on NATS, all shown by guardkit watch"
NATS_LATENCY = "phase entered → another process, over NATS"
NATS_WALL = "a build, wall time, its NATS server is"
NATS_CPU = "a build, CPU, its NATS server is"
NATS_EXIT = "leaving a build, longest, its NATS server fails"
KEPT = "a build of two turns, kept on NATS"
SENT = "a build of two turns, NATS traffic"
SENT_HOUR = "a build of an hour, NATS traffic"

C = "the same calls in C"
TQDM = "tqdm.update(1)"
RICH = "rich Progress.update"
SPAN = "OpenTelemetry span"
ANYIO = "one anyio hop, file + journal"
AIOFILES = "aiofiles call by call"
SAMPLE = "the sample code"
INOTIFY = "raw inotify"
BARE_WRITES = "as many bare writes"
BARE_READS = "reading and decoding bare"
PYTHON = "python -c pass"
WITHOUT_NATS = "the same build, without NATS"
JOURNAL = "its journal on disk"

LEVEL = 1.2  # times the cost at the start: what is linear has 1, and rounds are not exact

BOUNDS = {
    (UPDATE, TQDM): 0.6,
    (UPDATE, RICH): 0.12,
    (SCOPE, SPAN): 0.5,
    (WRITE_TMPFS, C): 1.5,
    (WRITE_DISK, C): 1.15,
    (TRANSITION, ANYIO): 1.0,
    (TRANSITION, AIOFILES): 1 / 4,
    (ON_LOOP, SAMPLE): 1 / 3,
    (LATENCY, "3 ms"): 1.0,
    (LATENCY, INOTIFY): 3.0,
    (MILLION, "0.3 s"): 1.0,
    (HEARTBEATS, BARE_WRITES): 2.0,
    (MEMORY, "8 KiB"): 1.0,
    (STATUS, BARE_READS): 3.0,
    (WITH_BUILDS, "a transition of one alone"): LEVEL,
    (WITH_BUILDS, "entering + leaving one alone"): LEVEL,
    (WITH_TURNS, "a transition in turn 1"): LEVEL,
    (IMPORT, PYTHON): 1.5,
    (STATUS_ONE, PYTHON): 10.0,
    (NATS_JOIN, "1 s"): 1.0,
    (NATS_WATCH, "1 s"): 1.0,
    (NATS_LATENCY, "5 ms"): 1.0,
    (f"{NATS_WALL} killed", WITHOUT_NATS): 1.01,
    (f"{NATS_WALL} hung", WITHOUT_NATS): 1.01,
    (f"{NATS_WALL} absent", WITHOUT_NATS): 1.01,
    (f"{NATS_CPU} killed", WITHOUT_NATS): 1.01,
    (f"{NATS_CPU} hung", WITHOUT_NATS): 1.01,
    (f"{NATS_CPU} absent", WITHOUT_NATS): 1.01,
    (NATS_EXIT, "1 s"): 1.0,
    (KEPT, JOURNAL): 1.5,
}
CLEARLY = 1.5  # times its bound: what is past that fails in a short run, whatever else runs
