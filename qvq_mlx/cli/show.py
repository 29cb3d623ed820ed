"""`qvq show`: all that is known of one model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from qvq_mlx.core.card import ModelCard, Shape
    from qvq_mlx.core.machine import Machine
    from qvq_mlx.run.world import World


def show(
    context: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Name, folder or repository.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Show a model's card, shape, licence, sources, and whether it fits this machine.

    What no source confirms is marked "unconfirmed".
    """
    from qvq_mlx.core.errors import ModelError
    from qvq_mlx.memory.estimate import estimate_for, typical
    from qvq_mlx.records.models import ShowRecord
    from qvq_mlx.render import listing
    from qvq_mlx.store import registry

    world: World = context.obj
    env, settings = world.env, world.settings
    card = registry.find(model, settings.cards_folder)
    folder = None
    try:
        card, folder = registry.resolve(model, settings.hub_cache, settings.cards_folder)
    except ModelError:
        if not card.repo:  # a folder that is none
            raise
    machine = env.machine()
    if as_json:
        found = estimate_for(card, machine, typical(card))
        path = str(folder) if folder else None
        listing.write_json(env, ShowRecord(card, path, found))
        return
    listing.write_facts(env, _facts(card, machine, str(folder) if folder else "not on this disk"))


def _facts(card: ModelCard, machine: Machine, path: str) -> list[tuple[str, str]]:
    from qvq_mlx.cli.models import download, fits, speed
    from qvq_mlx.memory.estimate import estimate_for, tokens_per_s, typical

    found = estimate_for(card, machine, typical(card))
    rate = speed(tokens_per_s(card, machine))

    def marked(field: str, value: str) -> str:
        doubtful = any(field == name or field.startswith(f"{name}.") for name in card.unconfirmed)
        return f"{value} (unconfirmed)" if doubtful and value else value

    facts = [
        ("model", card.name),
        ("aliases", ", ".join(card.aliases)),
        ("summary", card.summary),
        ("repository", marked("repo", card.repo)),
        ("bits", f"{card.bits:g}" if card.bits else ""),
        ("size", download(card)),
        ("path", path),
        ("fits", f"{fits(found)}: {found.reason}"),
        ("tokens/s", f"{rate} expected" if rate else ""),
        ("licence", marked("licence", card.licence)),
        ("family", card.family),
        ("sees", _sees(card)),
        ("thinks", marked("thinking.style", str(card.thinking.style))),
        ("rounds", "several" if card.rounds else "one only: follow-ups are retold"),
        ("closing", marked("thinking.closing", repr(card.thinking.closing))),
        ("system", marked("system", card.system or "none")),
        ("sampling", marked("sampling", _sampling(card))),
        ("max tokens", f"{card.max_tokens:,}"),
        ("draft", card.draft),
        ("boxes", str(card.boxes) if card.sees else ""),
        *((name, marked(field, value)) for name, field, value in _shape_facts(card.shape)),
        *(("source", source) for source in card.sources),
        ("unconfirmed", ", ".join(card.unconfirmed)),
    ]
    return [(name, value) for name, value in facts if value]


def _sees(card: ModelCard) -> str:
    if not card.sees:
        return "no, text only"
    return "pictures and videos" if card.vision.video else "pictures"


def _sampling(card: ModelCard) -> str:
    sampling = card.sampling
    if sampling.temperature == 0:
        return "greedy"
    parts = (
        f"temperature {sampling.temperature:g}, top_p {sampling.top_p:g}, top_k {sampling.top_k}"
    )
    return parts + (" (unconfirmed)" if "sampling.temperature" in card.unconfirmed else "")


def _shape_facts(shape: Shape | None) -> list[tuple[str, str, str]]:
    from qvq_mlx.memory.estimate import kv_bytes_per_token

    if shape is None:
        return [("shape", "shape", "not known")]
    heads = f"{shape.heads} heads, {shape.kv_heads} for keys and values, of {shape.head_dim}"
    facts = [
        ("parameters", "shape.parameters", f"{shape.parameters / 1e9:.4g} B"),
        ("layers", "shape.layers", f"{shape.layers} x {shape.hidden}, {heads}"),
        ("intermediate", "shape.intermediate", str(shape.intermediate)),
        ("vocabulary", "shape.vocab", f"{shape.vocab:,}" + (", tied" if shape.tied else "")),
        ("context", "shape.context_tokens", f"{shape.context_tokens:,} tokens"),
        ("KV cache", "shape.layers", f"{kv_bytes_per_token(shape) / 1024:g} KiB per token"),
    ]
    if eyes := shape.vision:
        patches = f"patches of {eyes.patch} px, {eyes.merge} x {eyes.merge} to a token"
        text = f"{eyes.depth} x {eyes.hidden}, {eyes.heads} heads, {patches}"
        facts.append(("vision", "shape.vision", text))
    return [fact for fact in facts if not (fact[0] == "parameters" and not shape.parameters)]
