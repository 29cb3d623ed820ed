"""Duties of a model's licence.

Law: a summary is no legal text. `url` is where the text lies, and the text in the model's folder
is the one that holds. A name that is not in the table is shown as it stands, with no summary.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Licence:
    """`name` is what a card says. `duties` are whole sentences; `notice` goes with copies.

    `to_accept`: it asks something of whoever only uses the model, so a person says yes to it once.
    """

    name: str
    title: str
    url: str = ""
    duties: tuple[str, ...] = ()
    notice: str = ""
    research_only: bool = False
    to_accept: bool = False


_QWEN_NOTICE = (
    "Qwen is licensed under the Qwen LICENSE AGREEMENT,"
    " Copyright (c) Alibaba Cloud. All Rights Reserved."
)

_KNOWN = (
    Licence(
        "Qwen",
        "Qwen LICENSE AGREEMENT (2024-09-19)",
        "https://huggingface.co/Qwen/QVQ-72B-Preview/blob/main/LICENSE",
        (
            "More than 100 million monthly active users need a separate licence.",
            'A model that is made with it must say "Built with Qwen" or "Improved using Qwen".',
            "Copies that are passed on carry the licence and the notice below.",
        ),
        _QWEN_NOTICE,
        to_accept=True,
    ),
    Licence(
        "Qwen-Research",
        "Qwen RESEARCH LICENSE AGREEMENT",
        "https://huggingface.co/Qwen/Qwen2.5-VL-3B-Instruct/blob/main/LICENSE",
        (
            "Research and evaluation only: commercial use needs a separate licence.",
            "Copies that are passed on carry the licence.",
        ),
        research_only=True,
        to_accept=True,
    ),
    Licence(
        "Apache-2.0",
        "Apache License 2.0",
        "https://www.apache.org/licenses/LICENSE-2.0",
        ("Copies that are passed on carry the licence and its notices; changes are stated.",),
    ),
    Licence(
        "MIT",
        "MIT License",
        "https://opensource.org/license/mit",
        ("Copies that are passed on carry the licence.",),
    ),
)


def licence_of(name: str) -> Licence:
    """Return the licence that a card names; a bare one where nothing is known."""
    for licence in _KNOWN:
        if licence.name.casefold() == name.casefold():
            return licence
    return Licence(name, name or "not stated")
