"""Tells the Coach which code Python has run, and which files it has read, in the tests' processes.

Python imports this module as it starts, whatever runs in it, by PYTHONPATH. It is written for any
version that a repository may be tested with, and hands on to the module that it hides.
"""

# ruff: noqa: PTH100, PTH114, PTH118, PTH120 - for a Python without annotations, that is to start at once

import atexit
import os
import sys

TO, BELOW = os.environ.get("GUARDKIT_IMPORTED_FILE"), os.environ.get("GUARDKIT_READ_BELOW")
NOT_READ = os.O_WRONLY | os.O_TRUNC | os.O_EXCL
CODE, READ = "", "<"  # before a path

ran, read, written = set(), set(), set()


def hear(event, arguments):
    """Take an event of Python's, such as that code of a file is run; whatever is wrong with it."""
    try:
        if event == "open":
            path, flags = arguments[0], arguments[2]
            if isinstance(path, (str, bytes)):
                path = os.path.abspath(os.fsdecode(path))
                if not path.startswith(BELOW):
                    return
                if flags & NOT_READ:
                    written.add(path)
                elif path not in written:
                    read.add(path)
        elif event == "exec":
            path = getattr(arguments[0], "co_filename", "")
            if path.startswith(os.sep):
                ran.add(path)
        elif event == "import" and arguments[1]:  # an extension module
            ran.add(os.path.abspath(arguments[1]))
        elif event == "os.rename":
            written.add(os.path.abspath(os.fsdecode(arguments[1])))
    except Exception:  # of whatever stands in for a path: the tests are to see that themselves
        return


def tell():
    """Append what was run, and read, as paths ended by a NUL, to the file that is asked for."""
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str):
            ran.add(os.path.abspath(file))
    folders = {}

    def with_real(path):
        above, name = os.path.split(path)
        if above not in folders:
            folders[above] = os.path.realpath(above)
        real = os.path.join(folders[above], name)
        return {path, os.path.realpath(real) if os.path.islink(real) else real}

    told = {CODE + each for path in list(ran) for each in with_real(path)}
    told |= {READ + each for path in read - ran for each in with_real(path)}
    text = "".join(path + "\0" for path in sorted(told))
    try:
        fd = os.open(TO, os.O_WRONLY | os.O_APPEND)
    except OSError:  # the tests are over, or run elsewhere
        return
    os.write(fd, text.encode("utf-8", "surrogateescape"))
    os.close(fd)


def hand_on():
    """Import the module of this name that would have been imported without this one."""
    from importlib.machinery import PathFinder

    here = os.path.dirname(os.path.abspath(__file__))
    path = [each for each in sys.path if os.path.abspath(each) != here]
    spec = PathFinder.find_spec("sitecustomize", path)
    if spec is not None and spec.loader is not None:
        from importlib.util import module_from_spec

        module = module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


if TO:
    BELOW = BELOW or os.sep
    if hasattr(sys, "addaudithook"):  # since Python 3.8
        sys.addaudithook(hear)
    atexit.register(tell)
hand_on()
