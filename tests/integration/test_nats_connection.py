"""Connections to real NATS servers, and to what is none."""

import asyncio
import gc
import json
import socket
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import nkeys  # type: ignore[import-untyped]
import pytest
import trustme
from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg
from nats.protocol.parser import Parser

from guardkit.clock import SYSTEM_CLOCK
from guardkit.errors import MisuseError, NatsError
from guardkit.nats.client import Client, ForbiddenError
from guardkit.nats.line import connected
from guardkit.nats.settings import find_project, find_settings
from guardkit.nats.streams import DOCUMENTS, ensure_streams, find_stream

from ..nats_server import NatsServer
from ..nats_stream import until
from .test_nats_builds import holds

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]

StartServer = Callable[..., NatsServer]

MINE = """authorization { users = [ { user: me, password: secret, permissions: { %s } } ] }"""


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder in which the `nats` command would keep its contexts; nothing is set."""
    for name in ("URL", "CREDS", "NKEY", "USER", "PASSWORD", "TOKEN", "CA", "CERT", "CONTEXT"):
        monkeypatch.delenv(f"NATS_{name}", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "nats/context").mkdir(parents=True)
    return tmp_path / "nats"


@contextmanager
def listening() -> Iterator[socket.socket]:
    """Listen on a port of 127.0.0.1, for clients that nobody accepts."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def url_of(server: socket.socket) -> str:
    return f"nats://127.0.0.1:{server.getsockname()[1]}"


@asynccontextmanager
async def connect(url: str) -> AsyncGenerator[Client]:
    async with connected(find_settings(url), SYSTEM_CLOCK) as client:
        yield client


async def refusal(url: str) -> str:
    """Return what is said where no connection comes about."""
    with pytest.raises(NatsError) as caught:
        async with connect(url):
            pass
    return str(caught.value)


async def answers(client: Client) -> bool:
    """Return whether JetStream answers; no stream was made."""
    return await find_stream(client, DOCUMENTS) is None


async def ignore(_: Msg) -> None:
    pass


def select(config: Path, **context: object) -> None:
    (config / "context.txt").write_text("team\n")
    (config / "context/team.json").write_text(json.dumps(context))


@pytest.mark.parametrize(
    ("url", "servers"),
    [
        ("nats://a", "nats://a:4222"),
        ("a:1,b", "nats://a:1, nats://b:4222"),
        ("tls://a:1", "tls://a:1"),
        ("nats://[::1]:1", "nats://[::1]:1"),
        (None, "nats://127.0.0.1:4222"),
    ],
)
async def test_a_url_names_the_servers(url: str | None, servers: str) -> None:
    assert str(find_settings(url)) == servers


@pytest.mark.parametrize(
    "url",
    [
        "http://a",
        "nats://",
        "nats://a:x",
        "nats://u:s3/cret@a",
        "nats://u:3/s3cret@a",
        "nats://u:3#s3cret@a",
        "nats://u:3?s3cret@a",
        "nats://u:s3cret,x@a:4222",
        "nats:/u:s3cret@a",
        "nats ://u:s3cret@a",
        "nats://u:s3cret@a:x",
        "ws://a",
    ],
)
async def test_what_is_no_url_of_a_server_is_refused_and_not_told(url: str) -> None:
    with pytest.raises(NatsError) as caught:
        find_settings(url)
    assert str(caught.value).startswith("that is no URL of a NATS server: write nats://HOST")
    assert "s3" not in str(caught.value)


@pytest.mark.parametrize("url", ["nats://u:3,s3cret@a", "u:s3@a,u:s4@b", "nats://s3cret,s4@a"])
async def test_another_login_at_a_later_server_is_refused_and_not_told(url: str) -> None:
    with pytest.raises(NatsError, match="one login, which stands at the first of them") as caught:
        find_settings(url)
    assert "s3" not in str(caught.value)


async def test_the_environment_counts_before_the_selected_context_and_a_url_before_both(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    select(config, url="nats://c", creds="~/team.creds", token="t", tls_first=True)  # noqa: S106
    settings = find_settings()
    assert (str(settings), settings.token, settings.tls_first) == ("tls://c:4222", "t", True)
    assert settings.creds == str(Path.home() / "team.creds")
    monkeypatch.setenv("NATS_URL", "nats://e")
    monkeypatch.setenv("NATS_USER", "me")
    settings = find_settings()
    assert (str(settings), settings.token, settings.user) == ("nats://e:4222", "", "me")
    assert str(find_settings("nats://u")) == "nats://u:4222"


async def test_a_context_that_cannot_be_read_is_named(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NATS_CONTEXT", "team")
    with pytest.raises(NatsError, match=r"the nats context 'team' cannot be read from .*team.json"):
        find_settings()
    select(config, url=1)
    with pytest.raises(NatsError, match="the nats context 'team' cannot be read"):
        find_settings()


async def test_what_is_secret_is_not_shown() -> None:
    settings = find_settings("nats://me:se%40cret@a,nats://b,nats://me:se@cret@b")
    assert (settings.user, settings.password) == ("me", "se@cret")
    assert find_settings("nats://t%2Fk@a").token == "t/k"  # noqa: S105
    assert str(settings) == repr(settings)[9:-1] == "nats://a:4222, nats://b:4222, nats://b:4222"


async def test_a_project_comes_from_the_environment_unless_it_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("GUARDKIT_PROJECT", raising=False)
    assert find_project() == ""
    monkeypatch.setenv("GUARDKIT_PROJECT", "shop")
    assert (find_project(), find_project("app"), find_project("")) == ("shop", "app", "")


@pytest.mark.parametrize("name", ["a:b", "a b", "*", ".a", "a" * 129])
async def test_what_is_no_name_of_a_project_is_refused(name: str) -> None:
    with pytest.raises(MisuseError, match=r"is no name of a project: use 1 to 128 letters"):
        find_project(name)


async def test_a_server_answers(nats_server: NatsServer) -> None:
    url = nats_server.url.replace("127.0.0.1", "localhost")
    async with connect(url) as client:
        assert await answers(client)
        assert not client.lost.done()
    assert client.is_closed
    with pytest.raises(NatsError, match=r"the connection to nats://localhost:.* is closed"):
        await answers(client)


async def test_an_answer_that_nobody_waits_for_any_more_is_dropped(
    nats_server: NatsServer,
) -> None:
    async with connect(nats_server.url) as client:
        await client.tell(f"{client._inbox}.0", b"late")
        assert await answers(client)


async def test_another_server_will_do(nats_server: NatsServer) -> None:
    with listening() as gone:
        url = url_of(gone)
    for _ in range(8):  # the order is any
        async with connect(f"{url},nats://nowhere.invalid,{nats_server.url}"):
            pass


async def test_another_address_of_a_name_will_do(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """... as of `localhost`, whose first one is of IPv6, on which nobody listens."""

    def both(_: str, port: int, **__: object) -> list[tuple[object, ...]]:
        return [(0, 0, 0, "", (host, port)) for host in ("::1", "127.0.0.1", "::1")]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    async with connect(nats_server.url.replace("127.0.0.1", "both.example")) as client:
        assert await answers(client)


async def test_no_server_is_said_within_no_time(nats_server: NatsServer) -> None:
    nats_server.kill()
    assert await refusal(nats_server.url) == (
        f"no server answers at {nats_server.url}: [Errno 111] Connect call failed "
        f"('127.0.0.1', {nats_server.port})"
    )
    assert "no server answers at nats://nowhere.invalid:4222" in await refusal(
        "nats://nowhere.invalid"
    )


async def test_a_server_that_accepts_and_does_not_answer_is_not_waited_for() -> None:
    with listening() as server:
        said = await refusal(url_of(server))
        assert said == f"{url_of(server)} accepts, but does not answer: it may hang"


async def test_a_server_that_stalls_while_encryption_begins_is_not_waited_for() -> None:
    info = {"server_id": "x", "version": "2.10.0", "max_payload": 2**20, "tls_required": True}
    left = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"INFO %s\r\n" % json.dumps(info).encode())
        with suppress(ConnectionError):
            while await reader.read(2**10):
                pass
        writer.close()
        left.set()

    complaints: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url, tasks = url_of(server.sockets[0]), len(asyncio.all_tasks())
        assert await refusal(url) == f"{url} accepts, but does not answer: it may hang"
        await left.wait()
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == tasks
    gc.collect()
    assert complaints == []


async def test_what_is_no_nats_server_is_told_from_one() -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        said = await refusal(url_of(server.sockets[0]))
    assert "cannot be used: empty response from server when expecting INFO message" in said


async def test_the_login_comes_from_the_url_or_the_environment(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start_server('authorization { user: "me", password: "secret" }')
    async with connect(server.url.replace("//", "//me:secret@")):
        pass
    monkeypatch.setenv("NATS_USER", "me")
    monkeypatch.setenv("NATS_PASSWORD", "secret")
    async with connect(server.url):
        pass


async def test_who_has_no_login_is_told_how_to_set_one(start_server: StartServer) -> None:
    server = start_server('authorization { user: "me", password: "secret" }')
    assert await refusal(server.url) == (
        f"{server.url} refuses who has no login: set NATS_CREDS, NATS_NKEY, NATS_USER and "
        "NATS_PASSWORD, or NATS_TOKEN, or select a context of the nats command"
    )


async def test_a_password_that_is_refused_is_not_told(start_server: StartServer) -> None:
    server = start_server('authorization { user: "me", password: "secret" }')
    said = await refusal(server.url.replace("//", "//me:wr0ng@"))
    assert said.startswith(f"{server.url} refuses the user and the password, set by NATS_USER and")
    assert "wr0ng" not in said


async def test_a_token_that_is_refused_is_not_told_but_where_it_comes_from(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start_server('authorization { token: "secret" }')
    monkeypatch.setenv("NATS_TOKEN", "wr0ng")
    said = await refusal(server.url)
    assert said.startswith(f"{server.url} refuses the token, set by NATS_TOKEN, ")
    assert "wr0ng" not in said


async def test_a_file_of_the_login_that_is_not_there_is_named(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server = start_server('authorization { user: "me", password: "secret" }')
    monkeypatch.setenv("NATS_NKEY", str(tmp_path / "nothing"))
    assert "/nothing', the nkey file, cannot be read: No such file" in await refusal(server.url)


async def test_a_file_that_is_none_of_credentials_is_named(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server = start_server('authorization { user: "me", password: "secret" }')
    (tmp_path / "creds").write_text("not at all")
    monkeypatch.setenv("NATS_CREDS", str(tmp_path / "creds"))
    assert "/creds is no creds file: it has no NATS USER JWT" in await refusal(server.url)


@pytest.mark.parametrize("variable", ["NATS_NKEY", "NATS_CREDS", "NATS_KEY"])
async def test_a_secret_that_is_given_instead_of_its_path_is_not_told(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    seed = nkeys.encode_seed(bytes(range(32)), nkeys.PREFIX_BYTE_USER).decode()
    for secret in (seed, f"-----BEGIN USER NKEY SEED-----\n{seed}\n"):
        monkeypatch.setenv(variable, secret)
        assert await refusal(nats_server.url) == (
            f"{variable} is to be the path of a file, and not what stands in that"
        )


async def test_a_seed_that_is_none_is_not_told(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server = start_server('authorization { user: "me", password: "secret" }')
    (tmp_path / "seed").write_text("SUwr0ng")
    monkeypatch.setenv("NATS_NKEY", str(tmp_path / "seed"))
    said = await refusal(server.url)
    assert said.startswith(f"{server.url} cannot be used: ")
    assert "wr0ng" not in said


@pytest.mark.parametrize("host", ["a..b", f"{'a' * 64}.example"])
async def test_a_name_that_can_be_none_is_that_of_no_server(host: str) -> None:
    assert f"no server answers at nats://{host}:4222" in await refusal(f"nats://{host}")


async def test_port_0_is_not_the_usual_one() -> None:
    assert "no server answers at nats://127.0.0.1:0" in await refusal("nats://127.0.0.1:0")


async def test_without_a_home_there_is_no_context(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_CONFIG_HOME", "NATS_URL", "NATS_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    assert str(find_settings()) == "nats://127.0.0.1:4222"


async def test_a_domain_of_which_no_subject_can_be_made_is_named(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NATS_JS_DOMAIN", "no pe")
    async with connect(nats_server.url) as client:
        with pytest.raises(NatsError, match=r"no pe.* can be no subject: set NATS_JS_DOMAIN"):
            await ensure_streams(client)


async def test_jetstream_is_found_in_its_domain(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store = json.dumps(str(tmp_path / "store"))
    server = start_server(
        f"jetstream {{ domain: site, store_dir: {store} }}", "server_name: hub", jetstream=False
    )
    monkeypatch.setenv("NATS_JS_DOMAIN", "site")
    async with connect(server.url) as client:
        await ensure_streams(client)
    monkeypatch.setenv("NATS_JS_DOMAIN", "elsewhere")
    async with connect(server.url) as client:
        with pytest.raises(NatsError, match=r"has no JetStream for this login"):
            await ensure_streams(client)


async def test_a_seed_is_a_login_too(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seed = nkeys.encode_seed(bytes(range(32)), nkeys.PREFIX_BYTE_USER)
    user = nkeys.from_seed(bytearray(seed)).public_key.decode()
    (tmp_path / "seed").write_bytes(seed)
    server = start_server(f"authorization {{ users = [ {{ nkey: {user} }} ] }}")
    monkeypatch.setenv("NATS_NKEY", str(tmp_path / "seed"))
    async with connect(server.url):
        pass


@pytest.fixture
def encrypting(start_server: StartServer, tmp_path: Path) -> NatsServer:
    """Start a server that encrypts, and wants to see who its clients are."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    for name, whose in (("server", "localhost"), ("client", "me@localhost")):
        certificate = authority.issue_cert(whose)
        certificate.cert_chain_pems[0].write_to_path(tmp_path / f"{name}.pem")
        certificate.private_key_pem.write_to_path(tmp_path / f"{name}.key")
    server = start_server(
        f"tls {{ cert_file: '{tmp_path}/server.pem', key_file: '{tmp_path}/server.key', "
        f"ca_file: '{tmp_path}/ca.pem', verify: true }}"
    )
    server.url = server.url.replace("127.0.0.1", "localhost")
    return server


async def test_a_connection_is_encrypted_and_both_sides_show_who_they_are(
    encrypting: NatsServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("NATS_CA", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("NATS_CERT", str(tmp_path / "client.pem"))
    monkeypatch.setenv("NATS_KEY", str(tmp_path / "client.key"))
    async with connect(encrypting.url) as client:
        assert await answers(client)
        encrypting.kill()
        await client.lost
    assert caplog.messages == []


async def test_a_certificate_of_an_authority_that_is_not_known_tells_of_nats_ca(
    encrypting: NatsServer,
) -> None:
    url = encrypting.url.replace("nats:", "tls:")
    assert await refusal(url) == (
        f"{url} cannot be trusted: unable to get local issuer certificate; where its certificate "
        "is of an authority of your own, set NATS_CA to the file of that"
    )


async def test_a_certificate_without_its_key_is_an_error(
    encrypting: NatsServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NATS_CA", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("NATS_CERT", str(tmp_path / "client.pem"))
    assert "cannot be used" in await refusal(encrypting.url)


async def test_an_authority_whose_file_is_not_there_is_named(
    encrypting: NatsServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NATS_CA", str(tmp_path / "nothing.pem"))
    said = await refusal(encrypting.url)
    assert "/nothing.pem', the ca file, cannot be read: No such file" in said


async def overhear(url: str) -> bytes:
    """Return what is sent to a server that does not encrypt, whatever comes of that."""
    heard = bytearray()
    left = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"auth_required": true, "headers": true, "max_payload": 65536}\r\n')
        with suppress(ConnectionError):
            while more := await reader.read(2**10):
                heard.extend(more)
                writer.write(b"PONG\r\n")
        writer.close()
        left.set()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        address = f"@127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with suppress(NatsError):
            async with connect(f"{url}{address}"):
                pass
        await left.wait()
    return bytes(heard)


async def test_nothing_is_sent_to_a_server_that_does_not_encrypt_where_an_authority_is_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert b"s3cret" in await overhear("nats://me:s3cret")
    assert await overhear("tls://me:s3cret") == b""
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("NATS_CA", str(tmp_path / "ca.pem"))
    assert await overhear("nats://me:s3cret") == b""


async def test_a_login_is_not_told_to_a_server_that_does_not_encrypt(
    nats_server: NatsServer,
) -> None:
    url = nats_server.url.replace("nats:", "tls:")
    assert await refusal(url) == f"{url} does not encrypt: it is not told the login"


async def test_a_server_that_is_killed_is_lost_at_once(nats_server: NatsServer) -> None:
    async with connect(nats_server.url) as client:
        nats_server.kill()
        error = await client.lost
        assert str(error).startswith(f"the connection to {nats_server.url} is lost: ")
        with pytest.raises(NatsError, match="is lost"):
            await answers(client)


async def test_a_connection_that_is_just_being_closed_is_lost(nats_server: NatsServer) -> None:
    async with connect(nats_server.url) as client:
        closing = asyncio.create_task(client.close())
        await asyncio.sleep(0)
        assert not client.lost.done()
        with pytest.raises(NatsError, match=r"the connection to .* is lost"):
            await answers(client)
        await closing


async def test_a_server_that_hangs_is_lost_when_it_is_asked(nats_server: NatsServer) -> None:
    async with connect(nats_server.url) as client:
        nats_server.hang()
        asked = [asyncio.create_task(answers(client)) for _ in range(2)]
        done, _ = await asyncio.wait(asked)
        assert {str(task.exception()) for task in done} == {
            f"{nats_server.url} does not answer: it may hang"
        }


async def test_leaving_does_not_wait_for_a_server_that_takes_nothing(
    nats_server: NatsServer,
) -> None:
    async with connect(nats_server.url) as client:
        nats_server.hang()
        for _ in range(200):
            await client.tell("much", bytes(2**16))
            await asyncio.sleep(0)
    assert client.is_closed


async def test_more_than_the_server_takes_is_not_sent(start_server: StartServer) -> None:
    async with connect(start_server("max_payload: 1000").url) as client:
        with pytest.raises(NatsError, match="takes no more than 1000 bytes, and less than it is"):
            await client.tell("much", bytes(1001))
        with pytest.raises(NatsError, match="set its max_payload to 64KB at least"):
            await client.ask("much", bytes(900), {"Header": "x" * 100})
        await asyncio.sleep(0)
        assert await answers(client)


async def test_a_missing_permission_is_said_to_the_one_who_asked(
    start_server: StartServer,
) -> None:
    server = start_server(MINE % 'publish: { deny: "Mine.>" }')
    async with connect(server.url.replace("//", "//me:secret@")) as client:
        with pytest.raises(ForbiddenError, match=r"gives no permission to publish to Mine.x"):
            await client.ask("Mine.x")
        assert await answers(client)


async def test_a_missing_permission_of_what_nobody_asked_for_is_said_to_who_looks_after_it(
    start_server: StartServer,
) -> None:
    server = start_server(MINE % 'publish: { deny: "mine.>" }')
    async with connect(server.url.replace("//", "//me:secret@")) as client:
        unheard: list[NatsError] = []
        client.unheard = unheard.append
        await client.tell("mine.x")
        assert await answers(client)
        [error] = unheard
    assert str(error).endswith("gives no permission to publish to mine.x")


async def test_a_missing_permission_to_subscribe_ends_the_connection(
    start_server: StartServer,
) -> None:
    server = start_server(MINE % 'subscribe: { deny: "mine.>" }')
    async with connect(server.url.replace("//", "//me:secret@")) as client:
        await client.hear("mine.x", ignore)
        error = await client.lost
    assert str(error).endswith('refuses: permissions violation for subscription to "mine.x"')


async def test_a_missing_permission_to_hear_answers_is_an_error(
    start_server: StartServer,
) -> None:
    server = start_server(MINE % 'subscribe: "mine.>"')
    async with connect(server.url.replace("//", "//me:secret@")) as client:
        with pytest.raises(NatsError, match="refuses: no permission to hear answers, set"):
            await answers(client)


async def test_answers_are_heard_where_the_login_may_hear_them(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start_server(MINE % 'subscribe: "mine.>"')
    monkeypatch.setenv("NATS_INBOX_PREFIX", "mine")
    async with connect(server.url.replace("//", "//me:secret@")) as client:
        assert await answers(client)


# What is private in nats-py, and used by `guardkit.nats.client`: each test misses one name.


async def test_nats_py_reads_by_a_parser_that_can_be_replaced(nats_server: NatsServer) -> None:
    """`_ps`, and `buf` and `needed` of that: else a message of any size is gathered."""
    assert type(NatsClient()._ps) is Parser
    async with connect(nats_server.url) as client:
        reader = client._transport._io_reader  # type: ignore[union-attr]
        reader.feed_data(b"MSG a 1 1000\r\nabc")
        await until(lambda: holds(client._ps.needed == 1000))
        assert client._ps.buf == b"abc"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"MSG a 1 4294967296\r\n", id="a message of 4 GB"),
        pytest.param(b"x" * (2**20 + 1), id="a line without an end"),
        pytest.param(b"INFO {\r\n", id="no JSON"),
        pytest.param(b"INFO " + b"[" * 2**16 + b"\r\n", id="deep nesting"),
        pytest.param(b"-ERR \r\n", id="an error that says nothing"),
        pytest.param(b"nonsense\r\n", id="nonsense"),
    ],
)
async def test_garbage_ends_the_connection_without_a_word_in_the_log(
    nats_server: NatsServer, caplog: pytest.LogCaptureFixture, data: bytes
) -> None:
    """`_process_err` and others, which the parser of nats-py calls, and whose errors it logs."""
    async with connect(nats_server.url) as client:
        reader = client._transport._io_reader  # type: ignore[union-attr]
        reader.feed_data(data)
        error = await client.lost
    assert str(error).startswith(f"the connection to {nats_server.url} is lost: ")
    assert caplog.messages == []


async def feed(client: Client, data: bytes) -> None:
    """Have a client read what a server has not sent; return when it has."""
    client._transport._io_reader.feed_data(data)  # type: ignore[union-attr]
    assert await answers(client)


@pytest.mark.parametrize(
    "headers", [b"N", b"NATS/1.0", b"NATS/1.0 \xff\xff\xff\r\n\r\n", b"\0" * 9]
)
async def test_headers_that_are_none_do_not_end_the_connection(
    nats_server: NatsServer, headers: bytes
) -> None:
    """`_process_msg`, which fails in nats-py."""
    heard: list[Msg] = []

    async def hear(message: Msg) -> None:
        heard.append(message)

    async with connect(nats_server.url) as client:
        await client.hear("mine", hear)
        sizes = b"%d %d" % (len(headers), len(headers) + 4)
        await feed(client, b"HMSG mine 2 " + sizes + b"\r\n" + headers + b"text\r\n")
        await until(lambda: holds(heard))
    assert [message.data for message in heard] == [b"text"]


async def test_a_subject_that_is_none_does_not_end_the_connection(nats_server: NatsServer) -> None:
    """`_process_msg`, which fails in nats-py."""
    heard: list[Msg] = []

    async def hear(message: Msg) -> None:
        heard.append(message)

    async with connect(nats_server.url) as client:
        await client.hear("mine.*", hear)
        await feed(client, b"MSG mine.\xff 2 to\xff 4\r\ntext\r\n")
        await until(lambda: holds(heard))
    [message] = heard
    assert (message.subject, message.reply, message.data) == ("mine.\ufffd", "to\ufffd", b"text")


async def test_servers_that_a_server_names_are_passed_over(nats_server: NatsServer) -> None:
    """`_process_info`: else comparing many of them with each other holds up the builds."""
    async with connect(nats_server.url) as client:
        await feed(client, b'INFO {"connect_urls": ["127.0.0.1:1", "[", 5]}\r\n')
        assert client.discovered_servers == []


async def test_nats_py_keeps_what_it_writes_with(nats_server: NatsServer) -> None:
    """`_transport._io_writer`: else the socket of a server that hangs is left open."""
    async with connect(nats_server.url) as client:
        writer = client._transport._io_writer  # type: ignore[union-attr]
        assert not writer.transport.is_closing()
        nats_server.hang()
    assert writer.transport.is_closing()


async def test_nats_py_keeps_its_three_tasks(nats_server: NatsServer) -> None:
    """`_reading_task`, `_ping_interval_task`, `_flusher_task`: else they outlive the client."""
    before = asyncio.all_tasks()
    async with connect(nats_server.url) as client:
        theirs = {client._reading_task, client._ping_interval_task, client._flusher_task}
        assert theirs <= asyncio.all_tasks()
    assert all(task and task.done() for task in theirs)
    assert asyncio.all_tasks() == before


async def test_nats_py_keeps_a_task_for_each_subscription(nats_server: NatsServer) -> None:
    """`_subs`, `_wait_for_msgs_task`: else they outlive a client whose `close` fails half-way."""
    async with connect(nats_server.url) as client:
        await client.hear("mine", ignore)
        theirs = {each._wait_for_msgs_task for each in client._subs.values()}
        assert len(theirs) == 2
        assert theirs <= asyncio.all_tasks()
    assert all(task and task.done() for task in theirs)


async def test_nats_py_asks_for_what_it_connects_with_last(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`_connect_command`: else the login goes out to a server that does not encrypt."""
    called: list[object] = []

    def connect_command(client: Client) -> bytes:
        called.append(client._server_info["auth_required"])
        return NatsClient._connect_command(client)

    monkeypatch.setattr(Client, "_connect_command", connect_command)
    server = start_server('authorization { token: "secret" }')
    async with connect(server.url.replace("//", "//secret@")):
        assert called == [True]


async def test_nats_py_keeps_what_the_server_says_of_itself(
    nats_server: NatsServer, encrypting: NatsServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`_server_info`: else nobody knows whether it encrypts."""
    async with connect(nats_server.url) as client:
        assert client._server_info["port"] == nats_server.port
        assert not client._server_info.get("tls_required")
    for name, file in (("CA", "ca.pem"), ("CERT", "client.pem"), ("KEY", "client.key")):
        monkeypatch.setenv(f"NATS_{name}", str(tmp_path / file))
    async with connect(encrypting.url) as client:
        assert client._server_info["tls_required"] is True


async def test_asyncio_is_told_that_a_connection_is_encrypted(
    encrypting: NatsServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`_over_ssl`: else asyncio complains of each connection that ends."""
    for name, file in (("CA", "ca.pem"), ("CERT", "client.pem"), ("KEY", "client.key")):
        monkeypatch.setenv(f"NATS_{name}", str(tmp_path / file))
    async with connect(encrypting.url) as client:
        writer = client._transport._io_writer  # type: ignore[union-attr]
        protocol = writer.transport.get_protocol()
        assert isinstance(protocol, asyncio.StreamReaderProtocol)
        assert protocol._over_ssl is True  # type: ignore[attr-defined]


async def test_an_inbox_has_the_prefix_that_is_set(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`new_inbox` and `inbox_prefix`, which are public."""
    monkeypatch.setenv("NATS_INBOX_PREFIX", "_INBOX_mine")
    async with connect(nats_server.url) as client:
        assert client._inbox.startswith("_INBOX_mine.")
