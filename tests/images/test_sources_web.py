"""Pictures from a web server that redirects inwards, never ends, drips, lies or is not there."""

from __future__ import annotations

import hashlib
import io
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from qvq_mlx import __version__, images
from qvq_mlx.core.card import VisionLimits
from qvq_mlx.core.errors import (
    ExitCode,
    ImageSizeError,
    ImageUnreadableError,
    NetworkError,
    QvqError,
    UsageError,
)
from qvq_mlx.core.picture import Picture
from qvq_mlx.images.addresses import is_public
from qvq_mlx.images.image_sources import Web
from tests.conftest import World
from tests.support.spelling import hint_of
from tests.support.waiting import eventually
from tests.support.web_server import Says, WebServer


def _png() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (56, 28), (0, 128, 255)).save(out, "PNG")
    return out.getvalue()


PNG = _png()
HTML, IMAGE = "Content-Type: text/html", "Content-Type: image/png"
LOOPBACK = frozenset({"127.0.0.1"})
QUICK = Web(total_s=5.0, stall_s=2.0, private_hosts=LOOPBACK)


@pytest.fixture
def server() -> Iterator[WebServer]:
    with WebServer({"/a.png": Says(PNG)}) as web:
        yield web


def read(url: str, web: Web = QUICK) -> Picture:
    return images.read(url, VisionLimits(min_pixels=1), images.ImageSources(io.BytesIO(), web=web))[
        0
    ]


def fails(url: str, kind: type[QvqError], web: Web = QUICK) -> QvqError:
    with pytest.raises(QvqError) as caught:
        read(url, web)
    error = caught.value
    assert type(error) is kind, error.message
    assert error.message.startswith(f"{url}: ")
    assert "\n" not in error.message
    assert hint_of(error)
    codes = {NetworkError: ExitCode.TRY_AGAIN, UsageError: ExitCode.USAGE}
    assert error.exit_code is codes.get(kind, ExitCode.BAD_INPUT)
    return error


# ---------------------------------------------------------------- what is fetched, and what is sent


def test_a_picture_and_nothing_else_is_sent(server: WebServer) -> None:
    url = server.url("/a.png?size=2")
    server.routes["/a.png?size=2"] = Says(PNG, headers=("Set-Cookie: a=b", HTML))
    picture = read(url + "#part")
    assert (picture.name, picture.tokens) == (url + "#part", 2)
    assert picture.sha256 == hashlib.sha256(PNG).hexdigest()
    read(url)
    assert [asked.path for asked in server.asked] == ["/a.png?size=2"] * 2
    assert dict(server.asked[1].headers) == {
        "Host": f"127.0.0.1:{server.port}",
        "User-Agent": f"qvq/{__version__}",
        "Accept": "image/*, application/pdf;q=0.9, */*;q=0.1",
        "Accept-Encoding": "identity",
        "Connection": "close",
    }


def test_proxies_of_the_environment_are_not_used(
    server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert read(server.url("/a.png")).tokens == 2


def test_a_path_that_is_no_ascii_is_quoted(server: WebServer) -> None:
    server.routes["/%E5%9B%BE%20a.png?q=%E5%9B%BE&b=%20"] = Says(PNG)
    assert read(server.url("/图 a.png?q=图&b=%20")).tokens == 2


def test_the_type_is_that_of_the_bytes(server: WebServer) -> None:
    server.routes["/page.png"] = Says(b"<!DOCTYPE html><p>log in", headers=(IMAGE,))
    error = fails(server.url("/page.png"), ImageUnreadableError)
    assert "is a web page (HTML)" in error.message
    assert hint_of(error) == f"curl -IL {server.url('/page.png')}"
    server.routes["/text"] = Says(b"no picture", headers=(IMAGE,))
    assert "is text, not a picture" in fails(server.url("/text"), ImageUnreadableError).message
    server.routes["/cut.png"] = Says(PNG[:50])
    assert "cut off or damaged" in fails(server.url("/cut.png"), ImageUnreadableError).message


def test_heads_before_the_answer_are_passed_over(server: WebServer) -> None:
    """RFC 8297: `103 Early Hints`, any number of them, in one packet with the answer or not."""
    hint = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(PNG)}\r\n\r\n".encode()
    for number, before in enumerate((hint, hint * 3, b"HTTP/1.1 102 Processing\r\n\r\n" + hint)):
        server.routes[f"/{number}"] = Says(raw=before + head + PNG)
        assert read(server.url(f"/{number}")).tokens == 2
    server.routes["/hints"] = Says(raw=hint * 100 + head + PNG)
    fails(server.url("/hints"), ImageUnreadableError)


@pytest.mark.parametrize("coding", ["gzip, chunked", "deflate", "chunked, chunked"])
def test_a_transfer_coding_that_was_not_asked_for_is_named(server: WebServer, coding: str) -> None:
    server.routes["/t"] = Says(PNG, headers=(f"Transfer-Encoding: {coding}",), length=-1)
    error = fails(server.url("/t"), ImageUnreadableError)
    assert f"a transfer coding that was not asked for ({coding})" in error.message


# ---------------------------------------------------------------- redirects


def test_five_redirects_are_followed_and_a_sixth_is_not(server: WebServer) -> None:
    for number in range(6):
        to = f"/{number + 1}" if number % 2 else server.url(f"/{number + 1}")
        server.routes[f"/{number}"] = Says(status="302 Found", headers=(f"Location: {to}",))
    server.routes["/6"] = Says(PNG)
    assert read(server.url("/1")).tokens == 2
    assert "more than 5 redirects" in fails(server.url("/0"), ImageUnreadableError).message
    server.routes["/loop"] = Says(status="301 Moved", headers=("Location: loop",))
    fails(server.url("/loop"), ImageUnreadableError)
    assert sum(asked.path == "/loop" for asked in server.asked) == 6


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_every_kind_of_redirect(server: WebServer, status: int) -> None:
    server.routes["/r"] = Says(status=f"{status} There", headers=("Location: /a.png",))
    assert read(server.url("/r")).tokens == 2


@pytest.mark.parametrize(
    ("location", "says"),
    [
        ("file:///etc/passwd", "redirects to 'file:///etc/passwd'"),
        ("ftp://example.org/a.png", "redirects to 'ftp:"),
        ("data:image/png;base64,AAAA", "redirects to 'data:"),
        ("gopher://127.0.0.1/", "redirects to 'gopher:"),
        ("", "redirects to ''"),
        ("http://[", "redirects to 'http://['"),
        ("https://user:secret@example.org/", "no user name and no password"),
        ("http://example.org/a.png", "without encryption"),
        (
            "https://169.254.169.254/latest/meta-data/",
            "169.254.169.254, which is no public address",
        ),
        ("https://127.0.0.2/", "127.0.0.2, which is no public address"),
        ("https://2130706433/", "127.0.0.1, which is no public address"),
        ("https://0x7f.1/", "127.0.0.1, which is no public address"),
        ("https://0/", "0.0.0.0, which is no public address"),
        ("https://[::1]/", "::1, which is no public address"),
        ("https://[::ffff:10.0.0.1]/", "10.0.0.1, which is no public address"),
        ("https://10.1.2.3/", "10.1.2.3, which is no public address"),
        ("//192.168.1.1/admin", "without encryption"),
        ("https://localhost/", "which is no public address"),
        ("https://\u00ad/", "is no address"),
    ],
)
def test_a_redirect_leads_to_public_https_addresses_only(
    server: WebServer, location: str, says: str
) -> None:
    head = f"Location: {location}".encode().decode("latin-1")
    server.routes["/r"] = Says(status="302 Found", headers=(head,))
    assert says in fails(server.url("/r"), ImageUnreadableError).message
    assert len(server.asked) == 1


def test_a_redirect_to_another_service_of_this_machine_reaches_nothing(server: WebServer) -> None:
    with WebServer({"/": Says(PNG)}) as inner:
        for scheme in ("http", "https"):
            to = inner.url("/", host="localhost", scheme=scheme)
            server.routes["/r"] = Says(status="302 Found", headers=(f"Location: {to}",))
            fails(server.url("/r"), ImageUnreadableError)
        read(inner.url("/"))  # whoever came before us was heard before us
        assert [asked.path for asked in inner.asked] == ["/"]


# ---------------------------------------------------------------- addresses


PRIVATE = [
    *("127.0.0.1", "127.255.255.255", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.0.1"),
    *("169.254.169.254", "100.64.0.1", "100.100.100.200", "192.0.0.192", "168.63.129.16"),
    *("198.18.0.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
    *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "fec0::1"),
    *("::ffff:127.0.0.1", "::ffff:192.168.0.1", "::ffff:a9fe:a9fe", "64:ff9b::7f00:1"),
    *("64:ff9b::a00:1", "2002:7f00:1::", "2002:a00:1::1", "2001:db8::1", "100::1", "", "localhost"),
    *("192.88.99.1", "192.31.196.1", "192.52.193.1", "192.175.48.6"),
    *("2620:4f:8000::6", "3fff::1", "3fff:fff::1", "5f00::1"),
]
PUBLIC = [
    *("1.1.1.1", "8.8.8.8", "93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:4700::1111"),
    *("::ffff:8.8.8.8", "64:ff9b::808:808"),
]


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", PRIVATE)
def test_a_name_for_a_private_address_is_refused_unasked(address: str) -> None:
    def resolve(_host: str, _port: int) -> tuple[str, ...]:
        return ("1.1.1.1", address)  # one public address does not help

    error = fails("https://inside.test/a.png", ImageUnreadableError, Web(resolve=resolve))
    assert "which is no public address" in error.message


def test_a_name_that_changes_its_mind_leads_nowhere_else(server: WebServer) -> None:
    answers: list[tuple[str, int]] = []

    def resolve(host: str, port: int) -> tuple[str, ...]:
        answers.append((host, port))
        return ("127.0.0.1",)  # the system knows of no such name: only this address can be met

    web = Web(private_hosts=frozenset({"rebind.test"}), resolve=resolve)
    assert read(server.url("/a.png", host="rebind.test"), web).tokens == 2
    assert answers == [("rebind.test", server.port)]
    assert server.asked[0].headers["Host"] == f"rebind.test:{server.port}"


def test_the_next_address_is_tried_where_one_does_not_answer(server: WebServer) -> None:
    web = Web(
        private_hosts=frozenset({"two.test"}),
        resolve=lambda _host, _port: ("127.0.0.9", "127.0.0.1"),
    )
    with pytest.MonkeyPatch.context() as patch:
        real = socket.create_connection

        def connect(address: tuple[str, int], timeout: float) -> socket.socket:
            if address[0] == "127.0.0.9":
                raise ConnectionRefusedError(111, "Connection refused")
            return real(address, timeout)

        patch.setattr(socket, "create_connection", connect)
        assert read(server.url("/a.png", host="two.test"), web).tokens == 2


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://example.org/a.png", "without encryption; qvq asks https only"),
        ("HTTP://example.org", "without encryption"),
        ("https://user@example.org/", "no user name and no password"),
        ("https://:secret@example.org/", "no user name and no password"),
        ("https:///a.png", "names no host"),
        ("https://", "names no host"),
        ("https://a:99999/", "is no address"),
        ("https://a:b/", "is no address"),
        (f"https://{'a' * 64}.org/", "is no address"),
        ("https://[fe80::1/", "is no address"),
    ],
)
def test_addresses_that_are_not_asked(url: str, says: str) -> None:
    def resolve(host: str, _port: int) -> tuple[str, ...]:
        raise AssertionError(f"{host} was looked up")

    error = fails(url, ImageUnreadableError, Web(resolve=resolve))
    assert says in error.message
    if "encryption" in says:
        assert hint_of(error).startswith("qvq ask https://example.org")


@pytest.mark.parametrize(
    ("number", "kind", "says"),
    [
        (socket.EAI_NONAME, ImageUnreadableError, "no host is called nowhere.test"),
        (socket.EAI_AGAIN, NetworkError, "nowhere.test"),
    ],
)
def test_names_that_nobody_knows(number: int, kind: type[QvqError], says: str) -> None:
    def resolve(_host: str, _port: int) -> tuple[str, ...]:
        raise socket.gaierror(number, "not known")

    assert says in fails("https://nowhere.test/a.png", kind, Web(resolve=resolve)).message


# ---------------------------------------------------------------- sizes and times


SMALL = Web(max_bytes=2**20, total_s=5.0, stall_s=2.0, private_hosts=LOOPBACK)
CHUNKED = ("Transfer-Encoding: chunked",)


def test_a_length_that_is_too_large_is_refused_before_the_body(server: WebServer) -> None:
    server.routes["/big"] = Says(bytes(2**20), length=100 * 2**30, endless=True)
    error = fails(server.url("/big"), ImageSizeError, SMALL)
    assert error.message.endswith("102,400 MiB is too large; the limit for a fetch is 1 MiB")
    eventually(lambda: server.ended == ["/big"])
    assert server.sent < 30 * 2**20  # what the buffers of two sockets took


@pytest.mark.parametrize(
    "says",
    [
        Says(bytes(2**16), length=-1, endless=True),
        Says(b"10000\r\n" + bytes(2**16) + b"\r\n", headers=CHUNKED, length=-1, endless=True),
    ],
    ids=["until the end", "chunked"],
)
def test_endless_bodies(server: WebServer, says: Says) -> None:
    server.routes["/endless"] = says
    error = fails(server.url("/endless"), ImageSizeError, SMALL)
    assert error.message.endswith("more than 1 MiB is too large; the limit for a fetch is 1 MiB")


def test_what_is_just_small_enough(server: WebServer) -> None:
    padded = PNG + bytes(2**20 - len(PNG))
    server.routes["/fits"] = Says(padded)
    server.routes["/open"] = Says(padded, length=-1)
    for path in ("/fits", "/open"):
        assert read(server.url(path), SMALL).tokens == 2
    server.routes["/over"] = Says(padded + b"\0", length=-1)
    fails(server.url("/over"), ImageSizeError, SMALL)


@pytest.mark.parametrize(
    ("says", "why"),
    [
        (Says(PNG, length=-1, endless=True, piece=1, pause_s=0.05), "took longer than 0.6 s"),
        (Says(PNG, drip_head=True, pause_s=0.05), "took longer than 0.6 s"),
        (Says(b"1\r\nx\r\n", headers=CHUNKED, length=-1, endless=True, pause_s=0.05), "0.6 s"),
        (Says(raw=b"HTTP/1.1 100 Continue\r\n\r\n" * 9, pause_s=0), "dropped or refused"),
        (Says(PNG, piece=20, pause_s=1.0), "sent nothing for 0.3 s"),
        (Says(PNG, drip_head=True, pause_s=1.0), "sent nothing for 0.3 s"),
    ],
    ids=["body", "head", "chunks", "continue", "silent body", "silent head"],
)
def test_drips_and_silence(server: WebServer, says: Says, why: str) -> None:
    """Only one of the two clocks is short, so that a busy machine changes nothing."""
    server.routes["/slow"] = says
    short = {"stall_s": 0.3} if "nothing" in why else {"total_s": 0.6}
    web = Web(**{"total_s": 600.0, "stall_s": 600.0, **short}, private_hosts=LOOPBACK)
    error = fails(server.url("/slow"), NetworkError, web)
    assert why in error.message
    assert hint_of(error) == f'qvq ask {server.url("/slow")} "question"'


def test_the_time_is_that_of_all_redirects_together(server: WebServer) -> None:
    for number in range(5):
        server.routes[f"/{number}"] = Says(
            status="302 Found", headers=(f"Location: /{number + 1}",), drip_head=True, pause_s=0.004
        )
    server.routes["/5"] = Says(PNG)
    web = Web(total_s=0.5, stall_s=600.0, private_hosts=LOOPBACK)
    assert "took longer than 0.5 s" in fails(server.url("/0"), NetworkError, web).message


def test_wrong_lengths(server: WebServer) -> None:
    server.routes["/short"] = Says(PNG, length=len(PNG) + 10)
    error = fails(server.url("/short"), NetworkError)
    assert error.message.endswith(f"sent {len(PNG)} of {len(PNG) + 10} bytes")
    server.routes["/long"] = Says(PNG + b"more", length=len(PNG))
    assert read(server.url("/long")).sha256 == hashlib.sha256(PNG).hexdigest()
    chunk = f"{len(PNG):x}\r\n".encode() + PNG[:20]
    server.routes["/chunk"] = Says(chunk, headers=CHUNKED, length=-1)
    fails(server.url("/chunk"), ImageUnreadableError)
    server.routes["/nothing"] = Says(b"")
    assert "sent no bytes" in fails(server.url("/nothing"), ImageUnreadableError).message


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "zstd", "gzip, identity"])
def test_compressed_bodies_are_refused_unread(server: WebServer, coding: str) -> None:
    server.routes["/z"] = Says(bytes(100), headers=(f"Content-Encoding: {coding}",))
    error = fails(server.url("/z"), ImageUnreadableError)
    assert f"sends it compressed ({coding}" in error.message
    server.routes["/plain"] = Says(PNG, headers=("Content-Encoding: identity",))
    assert read(server.url("/plain")).tokens == 2


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 451, 501, 201, 204, 206, 304, 305])
def test_what_will_not_work_the_next_time_either(server: WebServer, status: int) -> None:
    server.routes["/x"] = Says(PNG, status=f"{status} Some  Words\x1b[31m")
    error = fails(server.url("/x"), ImageUnreadableError)
    assert f"127.0.0.1 answers {status} Some Words" in error.message


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_what_may_work_the_next_time(server: WebServer, status: int) -> None:
    server.routes["/x"] = Says(PNG, status=f"{status} Busy")
    assert f"answers {status} Busy" in fails(server.url("/x"), NetworkError).message


@pytest.mark.parametrize(
    "raw",
    [
        *(b"\0\1\2\3", b"SSH-2.0-OpenSSH_9\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/9 200 OK\r\n\r\n"),
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"b" * 70000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: minus\r\n\r\n",
    ],
)
def test_what_is_no_http(server: WebServer, raw: bytes) -> None:
    server.routes["/x"] = Says(raw=raw)
    fails(server.url("/x"), ImageUnreadableError)


def chunked(*parts: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_chunked_body_that_is_cut_may_work_the_next_time(server: WebServer, cut: int) -> None:
    whole = chunked(PNG[:40], PNG[40:])
    server.routes["/whole"] = Says(raw=whole + b"0\r\n\r\n")
    assert read(server.url("/whole")).rgb
    server.routes["/between"] = Says(raw=chunked(PNG[:40]))
    server.routes["/within"] = Says(raw=whole[:-cut])
    for path in ("/between", "/within"):
        assert "ended after" in fails(server.url(path), NetworkError).message


def test_a_server_that_hangs_up_or_is_not_there(server: WebServer) -> None:
    server.routes["/x"] = Says(raw=b"")
    assert "dropped or refused" in fails(server.url("/x"), NetworkError).message
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        assert "dropped or refused" in fails(url, NetworkError).message


def test_nothing_of_a_fetch_is_left_open(server: WebServer) -> None:
    server.routes["/no"] = Says(status="404 Not Found", waits=True)
    server.routes["/r"] = Says(status="302 Found", headers=("Location: /ok",), waits=True)
    server.routes["/ok"] = Says(PNG, waits=True)
    server.routes["/big"] = Says(PNG, length=2**30, waits=True)
    read(server.url("/r"))
    fails(server.url("/no"), ImageUnreadableError)
    fails(server.url("/big"), ImageSizeError)
    eventually(lambda: sorted(server.closed) == ["/big", "/no", "/ok", "/r"])


# ---------------------------------------------------------------- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate of localhost, signed by itself, in one file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not here to make a certificate")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = (
        f"{openssl} req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
        f" -addext subjectAltName=DNS:localhost -keyout {path} -out {path}.crt"
    )
    subprocess.run(command.split(), check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + Path(f"{path}.crt").read_bytes())
    return path


def test_a_certificate_is_verified_and_so_is_its_name(certificate: Path) -> None:
    hosts = frozenset({"localhost", "127.0.0.1"})
    with WebServer({"/a.png": Says(PNG)}, certificate) as server:
        url = server.url("/a.png", host="localhost", scheme="https")
        error = fails(url, ImageUnreadableError, Web(private_hosts=hosts))
        assert (
            "the certificate of localhost is not trusted: self-signed certificate" in error.message
        )
        trusting = Web(private_hosts=hosts, roots=f"{certificate}.crt")
        assert read(url, trusting).tokens == 2
        error = fails(server.url("/a.png", scheme="https"), ImageUnreadableError, trusting)
        assert "127.0.0.1 is not trusted: IP address mismatch" in error.message
        assert [asked.path for asked in server.asked] == ["/a.png"]


def test_https_to_a_server_without_tls(server: WebServer) -> None:
    quick = Web(stall_s=0.3, private_hosts=LOOPBACK)
    fails(server.url("/a.png", scheme="https"), NetworkError, quick)


# ---------------------------------------------------------------- when nothing may be fetched


def ask(world: Callable[..., World], *argv: str, **environ: str) -> tuple[int, str]:
    at = world(["**Final Answer**\n\nblue"], environ=environ)
    code = at.run("ask", "-m", "tiny", *argv)
    return code, at.err


def test_offline_refuses_an_address_in_one_line(world: Callable[..., World]) -> None:
    url = "https://example.org/a.png"
    for argv, environ, what in (
        (("--offline",), {}, "--offline is given"),
        ((), {"QVQ_OFFLINE": "1"}, "QVQ_OFFLINE is set"),
        ((), {"HF_HUB_OFFLINE": "true"}, "HF_HUB_OFFLINE is set"),
    ):
        code, err = ask(world, *argv, url, "What?", **environ)
        assert code == ExitCode.USAGE
        assert err == f"error[usage]: {url}: {what}: nothing is fetched\n  try: curl -LO {url}\n"


def test_no_loopback_address_is_met_from_the_command_line(
    world: Callable[..., World], server: WebServer
) -> None:
    code, err = ask(world, server.url("/a.png"), "What?")
    assert (code, "without encryption" in err) == (ExitCode.BAD_INPUT, True)
    code, err = ask(world, server.url("/a.png", scheme="https"), "What?")
    assert (code, "which is no public address" in err) == (ExitCode.BAD_INPUT, True)
    assert server.asked == []


def test_a_file_loads_no_network_code_and_an_address_does(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    code = (
        "import io, sys\nfrom qvq_mlx import images\n"
        "from qvq_mlx.core.card import VisionLimits\n"
        "from qvq_mlx.core.errors import QvqError\n"
        "sources = images.ImageSources(io.BytesIO(), offline=sys.argv[2])\n"
        "try:\n    images.read(sys.argv[1], VisionLimits(), sources)\n"
        "except QvqError as error:\n    print(error.message)\n"
        "print('@@', sorted({'http.client', 'ssl', 'socket'} & set(sys.modules)))"
    )

    def loaded(source: str, offline: str = "") -> str:
        argv = [sys.executable, "-c", code, source, offline]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    assert "http.client" not in loaded(str(tmp_path / "a.png"))
    assert "ssl" not in loaded(str(tmp_path / "a.png"))
    assert "http.client" not in loaded("https://127.0.0.1/", "--offline")
    assert "http.client" in loaded("https://127.0.0.1/")


def test_the_offline_hook_is_no_traceback() -> None:
    code = (
        "from qvq_mlx.run.network import forbid_network\nforbid_network()\n"
        "from qvq_mlx.images.image_sources import Web\nfrom qvq_mlx.images.web import fetched\n"
        "try:\n    fetched('https://example.org/', Web())\n"
        "except Exception as error:\n    print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("ImageUnreadableError https://example.org/: no connection is")


def test_the_limits_that_are_in_force() -> None:
    web = Web()
    assert (web.max_bytes, web.total_s, web.stall_s, web.redirects) == (2**27, 60.0, 10.0, 5)
    assert web.private_hosts == frozenset()
    assert images.ImageSources(io.BytesIO()).web == web
