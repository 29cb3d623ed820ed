"""Answers as pip does for an index that is made up: packages and what they ask for."""

from __future__ import annotations

import hashlib

from tools.wheels import Target

HOST = "https://index.example"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Index:
    """`packages` gives for a name the requirements of its metadata; `native` have no pure wheel."""

    def __init__(
        self, packages: dict[str, list[str]], native: frozenset[str] = frozenset()
    ) -> None:
        self.packages = packages
        self.native = native
        self.without_hash: set[str] = set()
        self.calls: list[list[str]] = []

    def __call__(self, pinned: list[str], target: Target) -> object:
        self.calls.append(sorted(pinned))
        return {"version": "1", "install": [self._item(one, target) for one in pinned]}

    def _item(self, pinned: str, target: Target) -> object:
        name, version = pinned.split("==")
        tag = f"cp3-abi3-{target.platforms[0]}" if name in self.native else "py3-none-any"
        file_name = f"{name.replace('-', '_')}-{version}-{tag}.whl"
        hashes = {} if name in self.without_hash else {"sha256": digest(file_name)}
        return {
            "download_info": {
                "url": f"{HOST}/packages/{file_name}",
                "archive_info": {"hashes": hashes},
            },
            "metadata": {
                "name": name,
                "version": version,
                "requires_dist": self.packages[name],
            },
        }
