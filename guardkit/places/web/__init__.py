"""The page that shows builds in a browser: `guardkit serve`, with the extra `web`."""

from importlib.util import find_spec

from guardkit.errors import GuardKitError

if None in map(find_spec, ("jinja2", "sse_starlette", "starlette", "uvicorn")):
    raise GuardKitError("the page takes an extra of guardkit: pip install 'guardkit[web]'")
