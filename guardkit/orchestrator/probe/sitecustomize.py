"""Tells the Coach which files Python has imported, in each process of the tests.

Python imports this module as it starts, whatever runs in it, by PYTHONPATH. It is written for any
version that a repository may be tested with, and hands on to the module that it hides.
"""

# ruff: noqa: PTH100, PTH120 - for a Python without annotations, that is to start at once

import atexit
import os
import sys


def tell():
    """Append the files of all modules, each ended by a NUL, to the file that is asked for."""
    to = os.environ.get("GUARDKIT_IMPORTED_FILE")
    if not to:
        return
    files = set()
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str):
            files.add(os.path.realpath(file))
    text = "".join(file + "\0" for file in sorted(files))
    try:
        fd = os.open(to, os.O_WRONLY | os.O_APPEND)
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


atexit.register(tell)
hand_on()
