"""A small program between guardkit and an agent, which sees that nothing of the agent is left.

`python -I -S watcher.py CONTROL STATUS COMMAND…` runs the command in a session of its own, with its
own standard streams. On Linux whatever descends from the command stays below this process, also
what has left its group or its session. CONTROL is a pipe that guardkit writes to: `T` has SIGTERM
sent to all of it, `K` SIGKILL; its end, as guardkit is dead, SIGKILL at once. STATUS is told its
process, and how it ended, and is closed when nothing is left. Other descriptors that are handed
down, such as that of a lock, are held until then, and by nobody else.
"""

# ruff: noqa: PTH123, PTH208 - pathlib takes longer to import than all the rest

import ctypes
import os
import select
import signal
import sys
from contextlib import suppress

SET_DEATH_SIGNAL, SET_SUBREAPER = 1, 36  # of prctl(2)
ON_LINUX = sys.platform == "linux"
LOOK = 50  # milliseconds between two looks at a group, where there is no subreaper


def main() -> None:
    """Run a command, and end when nothing of it is left."""
    control, status, *command = sys.argv[1:]
    for name in {*os.listdir("/dev/fd")} - {"0", "1", "2"}:
        with suppress(OSError):  # that of the listing
            os.set_inheritable(int(name), False)
    if ON_LINUX:
        _prctl(SET_SUBREAPER, 1)
    woken, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _wake)
    watcher, child = os.getpid(), os.fork()
    if not child:
        _execute(command, int(status), watcher)
    with suppress(OSError):  # guardkit has died just now, which `control` tells
        os.write(int(status), b"started %d\n" % child)
    for fd in (0, 1, 2):
        os.dup2(woken, fd)  # whoever reads from the command's pipes is to see their end
    _watch(child, int(control), int(status), woken)


def _wake(number: int, _: object) -> None:
    """Do nothing: that a signal has come is told by the wake-up descriptor."""


def _execute(command: list[str], status: int, watcher: int) -> None:
    """Become the command; where it cannot be started, tell the error's number."""
    try:
        os.setsid()
        if ON_LINUX:
            _prctl(SET_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != watcher:  # it has died before that
            return
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores
            signal.signal(number, signal.SIG_DFL)
        os.execvp(command[0], command)  # noqa: S606 - the shell, if it is one
    except OSError as error:
        os.write(status, b"failed %d\n" % (error.errno or 0))
    finally:
        os._exit(127)


def _watch(child: int, control: int, status: int, woken: int) -> None:
    """Do as `control` says, until nothing is left below this process."""
    events, is_over = select.poll(), False
    events.register(control, select.POLLIN)
    events.register(woken, select.POLLIN)
    while _reap(child, status):
        if is_over:
            _end_all(child)
        for fd, _ in events.poll(None if ON_LINUX else LOOK):
            order = os.read(fd, 1)
            if fd == woken:
                continue
            if order == b"T":
                _send(signal.SIGTERM, child)
                _send(signal.SIGCONT, child)
            else:
                is_over = True
                _end_all(child)
            if not order:
                events.unregister(control)


def _reap(child: int, status: int) -> bool:
    """Bury the dead, and tell how the command ended; return whether anybody is left."""
    with suppress(ChildProcessError):
        while True:
            pid, how = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return True
            if pid == child:
                with suppress(OSError):  # guardkit is dead
                    os.write(status, b"exited %d\n" % os.waitstatus_to_exitcode(how))
    if ON_LINUX:
        return False
    with suppress(OSError):
        os.killpg(child, 0)
        return True
    return False


def _end_all(child: int) -> None:
    """Kill all; first stop them, so that nobody makes others meanwhile."""
    stopped = set[int]()
    while ON_LINUX and (new := descendants(os.getpid()) - stopped):
        stopped |= new
        for pid in new:
            with suppress(OSError):
                os.kill(pid, signal.SIGSTOP)
    _send(signal.SIGKILL, child)


def _send(number: int, child: int) -> None:
    with suppress(OSError):
        os.killpg(child, number)
    for pid in descendants(os.getpid()) if ON_LINUX else ():
        with suppress(OSError):  # it has ended just now, or belongs to somebody else
            if os.getpgid(pid) != child:
                os.kill(pid, number)


def descendants(ancestor: int) -> set[int]:
    """Return the processes that descend from one, the dead that nobody has buried aside."""
    children = dict[int, list[int]]()
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
            state, parent = file.read().rpartition(b")")[2].split()[:2]
            if state != b"Z":
                children.setdefault(int(parent), []).append(int(name))
    found, below = set[int](), [ancestor]
    while below:
        new = [pid for pid in children.get(below.pop(), ()) if pid not in found]
        found.update(new)
        below += new
    return found


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    main()
