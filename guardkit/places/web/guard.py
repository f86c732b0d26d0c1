"""Who is let in: decided for each request, before anything is looked at.

The page is read-only and has no account. What protects it: it listens on this machine alone unless
told otherwise, and then asks for a token; the name under which it is called is one of those that it
has (a name that an attacker binds to this address is none); no other site's page may read it; and
what it sends may load nothing from anywhere.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from hmac import compare_digest
from secrets import token_urlsafe
from urllib.parse import parse_qs

from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from guardkit.clock import Clock
from guardkit.places.plain import clean, clip
from guardkit.places.web.limits import Allowance

BURST, RATE = 200.0, 20.0  # requests of one address, at once and each second
TRIES, TRIES_RATE = 10.0, 1 / 60  # of a token
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}
RAW_HEADERS = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
OWN_NAMES = ("localhost", "127.0.0.1", "[::1]")  # of who looks; no other site can be called so
STYLE = "/style.css"  # of the page that says so, and tells nothing of builds
HTTP = 80  # the port that no host names
NAME_MAX = 100  # characters of a host


class Token:
    """The secret that lets in, once in an address, then in a cookie; both are made at the start.

    The two are apart, so that what stands in a history of addresses is no cookie.
    """

    def __init__(self, clock: Clock) -> None:
        self.secret = token_urlsafe(24)
        self._pass = token_urlsafe(32)
        self._tries = Allowance(clock, burst=TRIES, rate=TRIES_RATE)

    def cookie(self, port: int) -> str:
        """Return the header that has a browser keep the pass, and send it to nobody else."""
        return f"{_name(port)}={self._pass}; Path=/; HttpOnly; SameSite=Strict"

    def has_pass(self, cookies: str, port: int) -> bool:
        """Return whether the pass is among the cookies of a request."""
        own = f"{_name(port)}="
        found = [each.strip() for each in cookies.split(";")]  # others of this host may be anything
        return any(_is_same(each, own + self._pass) for each in found if each.startswith(own))

    def may_try(self, address: str) -> bool:
        """Return whether an address may try a secret once more, and count it."""
        return self._tries.take(address)

    def is_secret(self, tried: str) -> bool:
        """Return whether that is the secret, in a time that does not tell how much of it is."""
        return _is_same(tried, self.secret)


class Guard:
    """Lets requests through to the page, or refuses them.

    names: under which the page may be called besides the address that a request came in by: host
        names, without the port.
    token: that is asked for; None: none is. no_entry: HTML for those who have none.
    """

    def __init__(
        self,
        page: ASGIApp,
        clock: Clock,
        *,
        names: Collection[str] = (),
        token: Token | None = None,
        no_entry: str = "",
    ) -> None:
        self._page, self._names, self._token, self._no_entry = page, names, token, no_entry
        self._requests = Allowance(clock, burst=BURST, rate=RATE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return
        answer = self._refuse(scope) or self._ask_for_token(scope) or self._page
        await answer(scope, receive, partial(_send, send))

    def _refuse(self, scope: Scope) -> Response | None:
        """Return what is answered to a request that is not let in, whoever sends it."""
        sent = _headers(scope)
        if not self._requests.take(_address(scope)):
            return _say(429, "too many requests: wait a little", {"retry-after": "5"})
        if scope["method"] not in {"GET", "HEAD"}:
            return _say(405, "this page only shows: GET and HEAD", {"allow": "GET, HEAD"})
        hosts, called = _hosts(scope, self._names), sent.get("host", [])
        if len(called) != 1 or called[0].lower() not in hosts:
            name = clip(clean(" ".join(called)), NAME_MAX) or "no name"
            remedy = (
                "open the address that guardkit serve has printed; a tunnel has to keep its port"
            )
            return _say(421, f"this page is not served as {name}: {remedy}")
        origins = sent.get("origin", ())
        if any(origin.lower() not in {f"http://{host}" for host in hosts} for origin in origins):
            return _say(403, "another site may not read this page")
        site = sent.get("sec-fetch-site", ["none"])
        is_visit = (sent.get("sec-fetch-mode"), sent.get("sec-fetch-dest")) == (
            ["navigate"],
            ["document"],
        )
        if not (is_visit or {*site} <= {"none", "same-origin"}):
            return _say(403, "another site may not read this page")
        return None

    def _ask_for_token(self, scope: Scope) -> Response | None:
        """Return what is answered to who has shown no pass yet; None: he is let in."""
        token = self._token
        if not token or scope["path"] == STYLE:
            return None
        port = scope["server"][1]
        cookies = "; ".join(_headers(scope).get("cookie", ()))
        if token.has_pass(cookies, port):
            return None
        tried = parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
        if not tried:
            return HTMLResponse(self._no_entry, 401)
        if not token.may_try(_address(scope)):
            return _say(429, "too many tokens were tried: wait some minutes", {"retry-after": "60"})
        if not token.is_secret(tried[0]):
            return HTMLResponse(self._no_entry, 401)
        here = "/" + scope["path"].lstrip("/\\")  # two slashes would lead to another site
        return RedirectResponse(here, 303, {"set-cookie": token.cookie(port)})


async def _send(send: Send, message: Message) -> None:
    """Send a message of an answer, with the headers that protect what is in it."""
    if message["type"] == "http.response.start":
        message = {**message, "headers": [*message.get("headers", ()), *RAW_HEADERS]}
    await send(message)


def _headers(scope: Scope) -> dict[str, list[str]]:
    """Return the headers of a request, all values of each."""
    found: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        found.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
    return found


def _hosts(scope: Scope, names: Collection[str]) -> set[str]:
    """Return by which hosts, with their port, a request may call the page."""
    address, port = scope["server"]
    address = address.removeprefix("::ffff:")
    known = {*names, *OWN_NAMES, f"[{address}]" if ":" in address else address}
    return {f"{name.lower()}:{port}" for name in known} | (known if port == HTTP else set())


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else ""


def _say(code: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    return Response(f"{text}\n", code, headers, "text/plain")


def _name(port: int) -> str:
    return f"guardkit-{port}"  # browsers do not tell the ports of a host apart


def _is_same(one: str, other: str) -> bool:
    return compare_digest(one.encode(), other.encode())
