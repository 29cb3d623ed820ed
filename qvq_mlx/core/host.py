"""A server on another machine that is asked instead of a model here, and what it says of itself."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from qvq_mlx.core.card import ModelCard


@dataclass(frozen=True, slots=True)
class Host:
    """A server that speaks OpenAI's chat completions. `url` is as `parse_host` gives it.

    `key` goes to this host and to no other; '' for none.
    """

    url: str
    key: str = field(default="", repr=False)

    @property
    def name(self) -> str:
        """Name and port, as people know it."""
        return urlsplit(self.url).netloc

    @property
    def machine(self) -> str:
        """The name or address without the port, in lower case."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The port, also where the address leaves it out."""
        return urlsplit(self.url).port or (443 if self.is_encrypted else 80)

    @property
    def is_encrypted(self) -> bool:
        """True if TLS is spoken."""
        return urlsplit(self.url).scheme == "https"

    @property
    def is_here(self) -> bool:
        """True if it is this machine: `localhost`, or an address of the loopback."""
        if self.machine == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.machine).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class Served:
    """A model as a host serves it: its id there, and the most tokens of prompt and reply together,
    0 where the host does not say.

    `card` is the model's own where the host is a qvq, which sends the events of a run as they are;
    None: it is another server. `continues`: it goes on with a reply that is begun for it, as vLLM
    does.
    """

    host: Host
    model: str
    context_tokens: int = 0
    card: ModelCard | None = None
    continues: bool = False

    @property
    def tells_events(self) -> bool:
        """True if the host is a qvq."""
        return self.card is not None


def parse_host(text: str) -> str:
    """Return the address of a host without `/v1` and a slash at its end; http where it says none.

    Raises ValueError with the reason where it is no address.
    """
    given = text.strip()
    if not given.isascii() or not given.isprintable() or any(map(str.isspace, given)):
        raise ValueError("it can be an address such as http://studio:8080")
    address = given if "://" in given else f"http://{given}"
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError("it can be an http or https address such as http://studio:8080")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a name and a password are not sent; QVQ_HOST_KEY holds the key")
    if parts.query or parts.fragment:
        raise ValueError("it can be an address without ? and #")
    path = parts.path.rstrip("/").removesuffix("/v1").rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path}"
