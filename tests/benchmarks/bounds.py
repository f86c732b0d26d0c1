"""What is promised: at most how many times the cost of another, for each row that has a bound.

A bound of 1 against `3 ms` and the like is a limit in itself, `at least 3 times cheaper` is 1/3.
"""

UPDATE = "update()"
WRITE_TMPFS = "one write, tmpfs"
WRITE_DISK = "one write, disk"
TRANSITION = "a transition, until it is on disk"
LATENCY = "phase entered → another process"
WRITES = "a million updates, writes a second"
FLAT = "a million updates, memory that stays"
HEARTBEATS = "1,000 builds' heartbeats, processor"
MEMORY = "1,000 builds, memory of each"
THREADS = "1,000 builds, threads"
WATCH = "1,000 builds that change each second, guardkit watch"
STATUS = "guardkit status, one build"
STATUS_LINE = "guardkit-statusline, 20 builds"
MCP = "guardkit mcp, first answer"
MCP_MEMORY = "guardkit mcp, memory"
NATS_JOIN = "1,000 builds, all known to one who joins"
NATS_WATCH = "1,000 builds, all shown by guardkit watch"
NATS_LATENCY = "phase entered → another process, over NATS"
NATS_WALL = "a build, wall time, its server is"
NATS_EXIT = "leaving a build, longest, its server fails"
NATS_KEPT = "a build of two turns, kept on the server"
NATS_DOCUMENT = "a document in place of the last one, on the server"
NATS_RELAY = "a relay, memory after 10,000 builds"

TQDM = "tqdm.update(1)"
RICH = "rich Progress.update"
C = "the same calls in C"
ANYIO = "the same write, one anyio hop"
AIOFILES = "aiofiles call by call"
BARE_WRITES = "as many bare writes"
ONE_BUILD = "of one build"
PYTHON = "python -c pass"
WITHOUT_NATS = "the same build, without NATS"
JOURNAL = "its journal on disk"
DELETING = "published, then the last one deleted"
FEW_BUILDS = "after 100 builds"

BOUNDS = {
    (UPDATE, TQDM): 1.25,
    (UPDATE, RICH): 0.25,
    (WRITE_TMPFS, C): 1.5,
    (WRITE_DISK, C): 1.15,
    (TRANSITION, ANYIO): 1.2,
    (TRANSITION, AIOFILES): 1 / 3,
    (LATENCY, "3 ms"): 1.0,
    (WRITES, "10"): 1.0,
    (FLAT, "16 KiB"): 1.0,
    (HEARTBEATS, BARE_WRITES): 3.0,
    (MEMORY, "16 KiB"): 1.0,
    (THREADS, ONE_BUILD): 1.0,
    (WATCH, "15 % of a core"): 1.0,
    (STATUS, PYTHON): 6.0,
    (STATUS_LINE, PYTHON): 2.5,
    (MCP, PYTHON): 3.0,
    (MCP_MEMORY, "15 MiB"): 1.0,
}
ON_NATS = {
    (NATS_JOIN, "1 s"): 1.0,
    (NATS_WATCH, "1 s"): 1.0,
    (NATS_LATENCY, "5 ms"): 1.0,
    (f"{NATS_WALL} killed", WITHOUT_NATS): 1.01,
    (f"{NATS_WALL} hung", WITHOUT_NATS): 1.01,
    (f"{NATS_WALL} absent", WITHOUT_NATS): 1.01,
    (NATS_EXIT, "1 s"): 1.0,
    (NATS_KEPT, JOURNAL): 1.5,
    (NATS_DOCUMENT, DELETING): 1 / 2,
    (NATS_RELAY, FEW_BUILDS): 1.5,
}
CLEARLY = 2  # times its bound: what is past that fails in a short run, whatever else runs
