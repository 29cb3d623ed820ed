"""The connection to a host: where it may lead, TLS, silence, and where the key goes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from qvq_mlx.core.errors import HostError, HostGoneError, NetworkError, UsageError
from qvq_mlx.core.host import Host, parse_host
from qvq_mlx.remote.models import served
from qvq_mlx.remote.wire import StoppedReadingError, Wire
from tests.remote.scripted_host import ScriptedHost
from tests.support.web_server import Says, WebServer

MODELS = b'{"data": [{"id": "qvq"}]}'


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("studio:8080", "http://studio:8080"),
        ("http://studio:8080/", "http://studio:8080"),
        ("https://example.com/llm/v1/", "https://example.com/llm"),
        (" http://[::1]:80 ", "http://[::1]:80"),
    ],
)
def test_an_address_is_read_as_people_write_it(given: str, url: str) -> None:
    assert parse_host(given) == url


@pytest.mark.parametrize(
    ("url", "is_here"),
    [
        ("http://localhost:1", True),
        ("http://127.0.0.1:1", True),
        ("http://[::1]:1", True),
        ("http://192.168.0.2:1", False),
        ("http://localhost.example.com", False),
        ("http://studio", False),
    ],
)
def test_this_machine_is_known_by_its_addresses(url: str, is_here: bool) -> None:
    assert Host(url).is_here is is_here


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:8.8.8.8"])
def test_no_picture_crosses_the_internet_unencrypted(address: str) -> None:
    """No connection is tried: the suite would refuse it with another error."""
    wire = Wire(Host("http://studio.example"), resolve=lambda _name, _port: ("10.0.0.1", address))
    with pytest.raises(UsageError, match=r"on the internet, and .* is not encrypted"):
        wire.json("/v1/models")


def test_a_name_that_is_not_found_may_be_tried_again() -> None:
    with pytest.raises(HostGoneError, match="no host is found that is called no-such-host"):
        Wire(Host("http://no-such-host.invalid")).json("/v1/models")


def test_a_silent_host_is_left() -> None:
    with WebServer({"/v1/models": Says(b"{", length=99, waits=True)}) as server:
        wire = Wire(Host(server.url("")), silence_s=0.2)
        with pytest.raises(NetworkError, match="sends nothing for 0.2 s"):
            wire.json("/v1/models")


def test_a_wish_to_stop_is_heard_while_nothing_comes() -> None:
    looks = iter([False, False, False])
    with ScriptedHost(waits=True) as host:
        wire = Wire(Host(host.url), stopping=lambda: next(looks, True))
        with pytest.raises(StoppedReadingError), wire.lines("/v1/chat", {}) as lines:
            list(lines)
        assert host.left.wait(600)


def test_a_document_without_end_is_left() -> None:
    endless = Says(b" " * 2**20, length=-1, endless=True)
    with (
        WebServer({"/v1/models": endless}) as server,
        pytest.raises(HostError, match="more than 16 MiB"),
    ):
        Wire(Host(server.url(""))).json("/v1/models")


def test_the_key_is_sent_to_the_host_and_its_path_is_kept() -> None:
    with WebServer({"/llm/v1/models": Says(MODELS)}) as server:
        [model] = served(Wire(Host(server.url("/llm"), "sk-1")))
    [asked] = server.asked
    assert model.model == "qvq"
    assert asked.headers["Authorization"] == "Bearer sk-1"
    assert asked.headers["Host"] == f"127.0.0.1:{server.port}"
    assert "sk-1" not in repr(model)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate of localhost, signed by itself, in one file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not here to make a certificate")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    names = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
    made = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650")
    files = ("-keyout", f"{path}.key", "-out", f"{path}.crt")
    subprocess.run([openssl, *made, *names, *files], check=True, capture_output=True)
    path.write_text(Path(f"{path}.key").read_text() + Path(f"{path}.crt").read_text())
    return path


def test_tls_is_verified(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with WebServer({"/v1/models": Says(MODELS)}, certificate) as server:
        wire = Wire(Host(server.url("", "localhost", "https")))
        with pytest.raises(HostError, match="certificate of localhost:.* is not trusted"):
            wire.json("/v1/models")
        monkeypatch.setenv("SSL_CERT_FILE", f"{certificate}.crt")
        assert served(wire)[0].model == "qvq"
        plain = Wire(Host(server.url("")))
        with pytest.raises((HostError, HostGoneError, NetworkError)):
            plain.json("/v1/models")
