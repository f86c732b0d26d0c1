"""Who is let in, and what every answer says of what may be done with it."""

import re

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from guardkit.places.web.guard import BURST, HEADERS, TRIES, Guard, Token
from guardkit.testing import FakeClock

HERE = "127.0.0.1:4747"
SHOWN = "the builds"


def page() -> Starlette:
    async def say(_: Request) -> PlainTextResponse:
        return PlainTextResponse(SHOWN)

    return Starlette(routes=[Route("/{path:path}", say)])


def client(
    clock: FakeClock, *names: str, host: str = HERE, token: Token | None = None
) -> TestClient:
    guard = Guard(page(), clock, names=names, token=token, no_entry="<p>no entry</p>")
    return TestClient(guard, base_url=f"http://{host}", follow_redirects=False)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        (HERE, HERE),
        (HERE, "localhost:4747"),
        (HERE, "LOCALHOST:4747"),
        (HERE, "[::1]:4747"),
        ("[::1]:4747", "[::1]:4747"),
        ("127.0.0.1:80", "localhost"),
        ("192.0.2.7:4747", "192.0.2.7:4747"),
        ("192.0.2.7:4747", "box:4747"),
    ],
)
def test_it_may_be_called_by_its_address_and_its_names(
    clock: FakeClock, host: str, name: str
) -> None:
    answer = client(clock, "box", host=host).get("/", headers={"host": name})
    assert (answer.status_code, answer.text) == (200, SHOWN)


@pytest.mark.parametrize(
    "name",
    [
        "evil.example:4747",
        "127.0.0.1",
        "127.0.0.1:80",
        "127.0.0.1:4747.evil.example",
        "localhost.evil.example:4747",
        "evil@127.0.0.1:4747",
        "0.0.0.0:4747",
        "192.0.2.7:4747",
        "",
    ],
)
def test_a_name_that_leads_here_by_no_doing_of_ours_is_refused(clock: FakeClock, name: str) -> None:
    answer = client(clock).get("/", headers={"host": name})
    assert (answer.status_code, SHOWN in answer.text) == (421, False)


def test_a_name_that_is_refused_is_told_with_the_remedy(clock: FakeClock) -> None:
    answer = client(clock).get("/", headers={"host": "localhost:9000"})
    assert answer.text == (
        "this page is not served as localhost:9000: open the address that guardkit serve has "
        "printed; a tunnel has to keep its port\n"
    )


@pytest.mark.parametrize("name", ["localhost:4747", "127.0.0.1:4747"])
def test_a_port_that_a_container_publishes_may_be_called_by_the_names_of_loopback(
    clock: FakeClock, name: str
) -> None:
    at = client(clock, host="172.17.0.2:4747")
    assert at.get("/", headers={"host": name}).status_code == 200
    assert at.get("/", headers={"host": name, "origin": "http://evil.example"}).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "https://127.0.0.1:4747"},
        {"origin": "http://127.0.0.1:3000"},
        {"origin": "http://127.0.0.1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
        {
            "sec-fetch-site": "cross-site",
            "sec-fetch-mode": "navigate",
            "sec-fetch-dest": "iframe",
        },
        {
            "origin": "http://evil.example",
            "sec-fetch-mode": "navigate",
            "sec-fetch-dest": "document",
        },
    ],
)
def test_another_site_reads_nothing(clock: FakeClock, headers: dict[str, str]) -> None:
    answer = client(clock).get("/", headers=headers)
    assert (answer.status_code, SHOWN in answer.text) == (403, False)
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": f"http://{HERE}", "sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none", "sec-fetch-mode": "navigate"},
        {
            "sec-fetch-site": "cross-site",
            "sec-fetch-mode": "navigate",
            "sec-fetch-dest": "document",
        },
    ],
    ids=["no browser", "its own", "typed", "a link"],
)
def test_its_own_page_and_a_link_to_it_are_let_in(
    clock: FakeClock, headers: dict[str, str]
) -> None:
    assert client(clock).get("/", headers=headers).text == SHOWN


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "ODD"])
def test_it_only_shows(clock: FakeClock, method: str) -> None:
    answer = client(clock).request(method, "/")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("headers", [{}, {"host": "evil.example"}, {"origin": "null"}])
def test_every_answer_forbids_what_is_not_needed(clock: FakeClock, headers: dict[str, str]) -> None:
    answer = client(clock).get("/", headers=headers)
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert set(re.findall(r"-src ([^;]*)", policy)) == {"'none'", "'self'"}


def test_one_address_may_ask_so_much_and_not_more(clock: FakeClock) -> None:
    page = client(clock)
    codes = [page.get("/").status_code for _ in range(int(BURST) + 20)]
    assert (codes.count(200), codes.count(429)) == (int(BURST), 20)
    clock._monotonic += 1.0
    assert page.get("/").status_code == 200


def test_who_has_no_token_sees_nothing(clock: FakeClock) -> None:
    page = client(clock, token=Token(clock))
    answers = [page.get(path) for path in ("/", "/stream", "/script.js", "/?token=", "/?other=1")]
    assert {each.status_code for each in answers} == {401}
    assert {each.text for each in answers} == {"<p>no entry</p>"}


def test_the_token_is_told_once_and_then_a_cookie_lets_in(clock: FakeClock) -> None:
    token = Token(clock)
    page = client(clock, token=token)
    visit = page.get(f"/builds/shop/TASK-1?token={token.secret}")
    assert (visit.status_code, visit.headers["location"]) == (303, "/builds/shop/TASK-1")
    cookie = visit.headers["set-cookie"]
    assert cookie.startswith("guardkit-4747=")
    assert cookie.endswith("; Path=/; HttpOnly; SameSite=Strict")
    assert token.secret not in cookie
    assert page.get("/").text == SHOWN


def test_the_token_of_another_start_lets_nobody_in(clock: FakeClock) -> None:
    old, new = Token(clock), Token(clock)
    page = client(clock, token=new)
    stale = {"cookie": old.cookie(4747).partition(";")[0]}
    assert page.get("/", headers=stale).status_code == 401
    assert page.get(f"/?token={old.secret}").status_code == 401


def test_after_some_tries_no_token_is_looked_at(clock: FakeClock) -> None:
    token = Token(clock)
    page = client(clock, token=token)
    codes = [page.get(f"/?token={n}").status_code for n in range(int(TRIES))]
    assert {*codes} == {401}
    assert page.get(f"/?token={token.secret}").status_code == 429
    assert page.get("/").status_code == 401
    clock._monotonic += 60.0
    assert page.get(f"/?token={token.secret}").status_code == 303


def test_a_cookie_is_let_in_however_many_tokens_are_tried(clock: FakeClock) -> None:
    token = Token(clock)
    page = client(clock, token=token)
    page.get(f"/?token={token.secret}")
    for n in range(int(TRIES) * 2):
        client(clock, token=token).get(f"/?token={n}")
    assert page.get("/").text == SHOWN


@pytest.mark.parametrize(
    "cookie",
    ["guardkit-4747=", "guardkit-4747=wrong", "guardkit-4747=ü", "=;;;", "a" * 8000, "x=[1]; y"],
)
def test_a_cookie_of_another_kind_lets_nobody_in(clock: FakeClock, cookie: str) -> None:
    page = client(clock, token=Token(clock))
    assert page.get("/", headers={b"cookie": cookie.encode()}).status_code == 401


@pytest.mark.parametrize("other", ['prefs={"a":[1, 2]}', '"', "a b=c", "=", "x=ü"])
def test_cookies_of_other_pages_of_this_host_keep_nobody_out(clock: FakeClock, other: str) -> None:
    token = Token(clock)
    page = client(clock, token=token)
    own = token.cookie(4747).partition(";")[0]
    for cookies in (f"{other}; {own}", f"{own};{other}"):
        assert page.get("/", headers={b"cookie": cookies.encode()}).text == SHOWN


def test_a_visit_with_the_token_leads_to_no_other_site(clock: FakeClock) -> None:
    token = Token(clock)
    for path in ("//evil.example/", "/%5Cevil.example/", "/%2Fevil.example"):
        visit = client(clock, token=token).get(f"http://{HERE}{path}?token={token.secret}")
        assert re.match(r"/[^/\\]", visit.headers["location"])


def test_two_hosts_in_a_request_are_none(clock: FakeClock) -> None:
    answer = client(clock).get("/", headers=[("host", HERE), ("host", "evil.example")])
    assert answer.status_code == 421
