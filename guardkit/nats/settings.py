"""Which NATS servers are meant, and how to log in: from a URL, the environment or a context."""

import os
import re
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
from msgspec.structs import replace

from guardkit.errors import MisuseError, NatsError
from guardkit.progress.paths import is_task_id

DEFAULT_URL = "nats://127.0.0.1:4222"
PORT = 4222
VARIABLES = {  # as those of the `nats` command
    "creds": "NATS_CREDS",
    "nkey": "NATS_NKEY",
    "user": "NATS_USER",
    "password": "NATS_PASSWORD",
    "token": "NATS_TOKEN",
    "cert": "NATS_CERT",
    "key": "NATS_KEY",
    "ca": "NATS_CA",
    "inbox_prefix": "NATS_INBOX_PREFIX",
    "jetstream_domain": "NATS_JS_DOMAIN",
}
PATHS = ("creds", "nkey", "cert", "key", "ca")  # of files, as those of a `nats` context
SECRET = re.compile(r"[\n\r]|^[A-Za-z0-9+=-]{40,}$")  # of a key, which is no path


class Server(msgspec.Struct, frozen=True):
    """One server; `tls` says that only an encrypted connection will do."""

    host: str
    port: int = PORT
    tls: bool = False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'tls' if self.tls else 'nats'}://{host}:{self.port}"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The servers, any of which will do, and the login, under the names of a `nats` context.

    `creds` and `nkey` are paths, as are `cert`, `key` and `ca`. Empty: not set.
    Shown as text it is the servers alone.
    """

    url: str = ""
    creds: str = ""
    nkey: str = ""
    user: str = ""
    password: str = ""
    token: str = ""
    cert: str = ""
    key: str = ""
    ca: str = ""
    inbox_prefix: str = ""
    jetstream_domain: str = ""
    tls_first: bool = False
    servers: tuple[Server, ...] = ()

    def __str__(self) -> str:
        return ", ".join(map(str, self.servers))

    def __repr__(self) -> str:
        return f"Settings({self})"

    @property
    def login(self) -> str:
        """Which login it is, and where it comes from, as the end of a sentence; nothing secret."""
        kinds = {
            "creds": "the creds file, set by NATS_CREDS",
            "nkey": "the nkey, set by NATS_NKEY",
            "user": "the user and the password, set by NATS_USER and NATS_PASSWORD",
            "token": "the token, set by NATS_TOKEN",
            "cert": "the certificate, set by NATS_CERT",
        }
        for name, text in kinds.items():
            if getattr(self, name):
                return f"{text}, the URL or the context of the nats command"
        return (
            "who has no login: set NATS_CREDS, NATS_NKEY, NATS_USER and NATS_PASSWORD, or "
            "NATS_TOKEN, or select a context of the nats command"
        )


def find_settings(url: str | None = None) -> Settings:
    """Return how to connect; several servers of one cluster stand in a URL with commas.

    A URL, else that in NATS_URL, counts before the selected context of the `nats` command, which
    is used whole or not at all: its login is not for other servers. The other NATS_ variables
    count before it. Raises NatsError, which never tells what is secret.
    """
    url = url or os.environ.get("NATS_URL")
    found = Settings(url=url) if url else _read_context()
    login = {name: os.environ.get(variable) for name, variable in VARIABLES.items()}
    found = replace(found, **{name: value for name, value in login.items() if value})
    return _parse(found)


def find_project(project: str | None = None) -> str:
    """Return the project that is given, else that in GUARDKIT_PROJECT; `""`: none.

    Raises MisuseError for what is no name: letters, digits, `.`, `_` and `-`, as of a task.
    """
    name = os.environ.get("GUARDKIT_PROJECT", "") if project is None else project
    if name and not is_task_id(name):
        raise MisuseError(
            f"project={name!r:.80} is no name of a project: use 1 to 128 letters, digits, '.', "
            "'_' and '-', the first a letter or a digit"
        )
    return name


def options(settings: Settings, server: Server) -> dict[str, Any]:
    """Return the options of nats-py for a server; raises NatsError where a file is amiss."""
    for name in PATHS:
        _check_file(name, getattr(settings, name))
    found: dict[str, Any] = {
        "user": settings.user,
        "password": settings.password,
        "token": settings.token,
        "user_credentials": settings.creds,
        "nkeys_seed": settings.nkey,
        "inbox_prefix": settings.inbox_prefix,
        "tls_handshake_first": settings.tls_first,
        "tls_hostname": server.host,
    }
    if server.tls:
        context = ssl.create_default_context(cafile=settings.ca or None)
        if settings.cert:
            context.load_cert_chain(settings.cert, settings.key or None)
        found["tls"] = context
    return {name: value for name, value in found.items() if value}


def _check_file(name: str, path: str) -> None:
    """See that a file of the login is there, as nats-py does not say which one is not."""
    try:
        text = Path(path).read_bytes() if path else b""
    except (OSError, ValueError) as error:
        if SECRET.search(path):
            what = f"{VARIABLES[name]} is to be the path of a file, and not what stands in that"
            raise NatsError(what) from None
        why = error.strerror if isinstance(error, OSError) else "that is no path"
        raise NatsError(f"{path!r:.200}, the {name} file, cannot be read: {why}") from error
    if name == "creds" and path and b"-----BEGIN NATS USER JWT-----" not in text:
        raise NatsError(f"{path} is no creds file: it has no NATS USER JWT")


def _read_context() -> Settings:
    """Return what the selected context of the `nats` command says, or the default server."""
    folder = Path(os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config"), "nats")
    name = os.environ.get("NATS_CONTEXT")
    if not name:
        try:
            name = (folder / "context.txt").read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError):
            name = ""
    if not name:
        return Settings(url=DEFAULT_URL)
    path = folder / "context" / f"{name}.json"
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Settings)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise NatsError(
            f"the nats context {name!r} cannot be read from {path}: {error}; give a URL, or "
            "select another one with `nats context select`"
        ) from error
    paths = {name: os.path.expanduser(getattr(found, name)) for name in PATHS}
    return replace(found, url=found.url or DEFAULT_URL, servers=(), **paths)


def _parse(settings: Settings) -> Settings:
    """Return the settings with the servers and the login that stand in their URL."""
    servers, logins = zip(*map(_parse_server, settings.url.split(",")), strict=True)
    login = logins[0]
    if any(each not in ({}, login) for each in logins):
        raise NatsError(
            "the servers of a NATS URL have one login, which stands at the first of them: write "
            "what is special in it as %2C for a comma"
        )
    if settings.ca or settings.cert or settings.tls_first:  # no login goes out in clear then
        servers = tuple(replace(server, tls=True) for server in servers)
    return replace(settings, url="", servers=servers, **login)


def _parse_server(url: str) -> tuple[Server, dict[str, str]]:
    """Return a server and the login for it; what is no URL may be part of a password: not told."""
    try:
        parts = urlsplit(url.strip() if "://" in url else f"nats://{url.strip()}")
        host, port = parts.hostname, PORT if parts.port is None else parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, 0
    rest = parts.path.strip("/") or parts.query or parts.fragment
    if not host or rest or parts.scheme not in {"nats", "tls"}:
        raise NatsError(
            "that is no URL of a NATS server: write nats://HOST:PORT, or tls:// where it has to be "
            "encrypted, and what is special in a login as %2F for a slash"
        )
    server = Server(host, port, parts.scheme == "tls")
    user = unquote(parts.username or "")
    if parts.password is not None:
        return server, {"user": user, "password": unquote(parts.password)}
    return server, {"token": user} if user else {}
