"""Connections to real NATS servers, and to what is none."""

import asyncio
import gc
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import nkeys  # type: ignore[import-untyped]
import pytest
import trustme

from guardkit.errors import NatsError
from guardkit.nats.connection import connected
from guardkit.nats.settings import find_settings
from guardkit.nats.stream import ensure_stream

from ..nats_server import NatsServer

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_task_is_left")]

StartServer = Callable[..., NatsServer]


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder in which the `nats` command would keep its contexts; nothing is set."""
    for name in ("URL", "CREDS", "USER", "PASSWORD", "TOKEN", "CONTEXT"):
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


async def refusal(url: str) -> str:
    """Return what is said where no connection comes about."""
    with pytest.raises(NatsError) as caught:
        async with connected(find_settings(url)):
            pass
    return str(caught.value)


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
    assert (str(settings), settings.token, settings.tls_first) == ("nats://c:4222", "t", True)
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


async def test_a_server_answers(nats_server: NatsServer) -> None:
    url = nats_server.url.replace("127.0.0.1", "localhost")
    async with connected(find_settings(url)) as client:
        assert (await client.js.account_info()).streams == 0
        assert not client.lost.done()
    assert client.is_closed
    with pytest.raises(NatsError, match=r"the connection to nats://localhost:.* is closed"):
        await client.js.account_info()


async def test_an_answer_that_nobody_waits_for_any_more_is_dropped(
    nats_server: NatsServer,
) -> None:
    async with connected(find_settings(nats_server.url)) as client:
        await client.publish(f"{client._inbox}.0", b"late")
        assert (await client.js.account_info()).streams == 0


async def test_another_server_will_do(nats_server: NatsServer) -> None:
    with listening() as gone:
        url = url_of(gone)
    for _ in range(8):  # the order is any
        async with connected(find_settings(f"{url},nats://nowhere.invalid,{nats_server.url}")):
            pass


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
    assert "refuses the login: set NATS_CREDS, NATS_USER and" in await refusal(server.url)
    said = await refusal(server.url.replace("//", "//me:wrong@"))
    assert said.startswith(f"{server.url} refuses the login: ")
    async with connected(find_settings(server.url.replace("//", "//me:secret@"))):
        pass
    monkeypatch.setenv("NATS_USER", "me")
    monkeypatch.setenv("NATS_PASSWORD", "secret")
    async with connected(find_settings(server.url)):
        pass


async def test_credentials_that_cannot_be_read_are_named(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server = start_server('authorization { user: "me", password: "secret" }')
    monkeypatch.setenv("NATS_NKEY", str(tmp_path / "nothing"))
    assert "/nothing, the nkey file, cannot be read: No such file" in await refusal(server.url)
    (tmp_path / "creds").write_text("not at all")
    monkeypatch.setenv("NATS_NKEY", "")
    monkeypatch.setenv("NATS_CREDS", str(tmp_path / "creds"))
    assert "/creds is no creds file: it has no NATS USER JWT" in await refusal(server.url)


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
    async with connected(find_settings(nats_server.url)) as client:
        with pytest.raises(NatsError, match="JetStream domain 'no pe': set NATS_JS_DOMAIN"):
            await ensure_stream(client)


async def test_a_seed_is_a_login_too(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seed = nkeys.encode_seed(bytes(range(32)), nkeys.PREFIX_BYTE_USER)
    user = nkeys.from_seed(bytearray(seed)).public_key.decode()
    (tmp_path / "seed").write_bytes(seed)
    server = start_server(f"authorization {{ users = [ {{ nkey: {user} }} ] }}")
    monkeypatch.setenv("NATS_NKEY", str(tmp_path / "seed"))
    async with connected(find_settings(server.url)):
        pass


async def test_a_connection_is_encrypted_and_both_sides_show_who_they_are(
    start_server: StartServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
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
    url = server.url.replace("nats://127.0.0.1", "tls://localhost")
    assert "certificate verify failed" in await refusal(url)
    monkeypatch.setenv("NATS_CA", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("NATS_CERT", str(tmp_path / "client.pem"))
    assert "cannot be used" in await refusal(url)
    monkeypatch.setenv("NATS_KEY", str(tmp_path / "client.key"))
    async with connected(find_settings(url)) as client:
        assert (await client.js.account_info()).streams == 0
        server.kill()
        await client.lost
    assert caplog.messages == []
    monkeypatch.setenv("NATS_CA", str(tmp_path / "nothing.pem"))
    assert "/nothing.pem, the ca file, cannot be read: No such file" in await refusal(url)


async def test_a_login_is_not_told_to_a_server_that_does_not_encrypt(
    nats_server: NatsServer,
) -> None:
    url = nats_server.url.replace("nats:", "tls:")
    assert await refusal(url) == f"{url} does not encrypt: it is not told the login"


async def test_a_server_that_is_killed_is_lost_at_once(nats_server: NatsServer) -> None:
    async with connected(find_settings(nats_server.url)) as client:
        nats_server.kill()
        error = await client.lost
        assert str(error).startswith(f"the connection to {nats_server.url} is lost: ")
        with pytest.raises(NatsError, match="is lost"):
            await client.js.account_info()


async def test_a_connection_that_is_just_being_closed_is_lost(nats_server: NatsServer) -> None:
    async with connected(find_settings(nats_server.url)) as client:
        closing = asyncio.create_task(client.close())
        await asyncio.sleep(0)
        assert not client.lost.done()
        with pytest.raises(NatsError, match=r"the connection to .* is lost"):
            await client.js.account_info()
        await closing


async def test_a_server_that_hangs_is_lost_when_it_is_asked(nats_server: NatsServer) -> None:
    async with connected(find_settings(nats_server.url)) as client:
        nats_server.hang()
        asked = [asyncio.create_task(client.js.account_info()) for _ in range(2)]
        done, _ = await asyncio.wait(asked)
        assert {str(task.exception()) for task in done} == {
            f"{nats_server.url} does not answer: it may hang"
        }


async def test_leaving_does_not_wait_for_a_server_that_takes_nothing(
    nats_server: NatsServer,
) -> None:
    async with connected(find_settings(nats_server.url)) as client:
        nats_server.hang()
        for _ in range(200):
            await client.publish("much", bytes(2**16))
            await asyncio.sleep(0)
    assert client.is_closed


async def test_a_missing_permission_is_said_to_the_one_who_asked(
    start_server: StartServer,
) -> None:
    server = start_server(
        "authorization { users = [ { user: me, password: secret, permissions: "
        '{ publish: { deny: "Mine.>" } } } ] }'
    )
    url = server.url.replace("//", "//me:secret@")
    async with connected(find_settings(url)) as client:
        with pytest.raises(NatsError, match=r"gives no permission to publish to Mine.x"):
            await client.request("Mine.x")
        assert (await client.js.account_info()).streams == 0


async def test_a_missing_permission_to_subscribe_ends_the_connection(
    start_server: StartServer,
) -> None:
    server = start_server(
        "authorization { users = [ { user: me, password: secret, permissions: "
        '{ subscribe: { deny: "mine.>" } } } ] }'
    )
    async with connected(find_settings(server.url.replace("//", "//me:secret@"))) as client:
        await client.subscribe("mine.x")
        error = await client.lost
    assert str(error).endswith('refuses: permissions violation for subscription to "mine.x"')


async def test_a_missing_permission_to_hear_answers_is_an_error(
    start_server: StartServer,
) -> None:
    server = start_server(
        "authorization { users = [ { user: me, password: secret, permissions: "
        '{ subscribe: "mine.>" } } ] }'
    )
    url = server.url.replace("//", "//me:secret@")
    async with connected(find_settings(url)) as client:
        with pytest.raises(NatsError, match="refuses: no permission to hear answers, set"):
            await client.js.account_info()
