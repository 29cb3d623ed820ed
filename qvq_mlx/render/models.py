"""Models as tables and facts: the catalogue, what is on this disk, and all that is known of one.

Law: `~` stands before a size that is computed, `?` behind a name whose repository no source
confirms, and "unconfirmed" behind a fact of a card that none does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import assert_never

from qvq_mlx.core.card import ModelCard, Shape
from qvq_mlx.core.env import Env
from qvq_mlx.core.machine import Machine
from qvq_mlx.core.remedies import PullModel
from qvq_mlx.core.request import Sampling
from qvq_mlx.core.sizes import size
from qvq_mlx.memory.candidates import Candidate
from qvq_mlx.memory.choice import Standing, first_from, may_be_default
from qvq_mlx.memory.estimate import (
    Estimate,
    Verdict,
    achieved_share,
    kv_bytes_per_token,
    read_bytes,
)
from qvq_mlx.records.models import DiskEntry
from qvq_mlx.render import listing
from qvq_mlx.store.layout import RepoKind

_MARKS = "~: computed; ?: not confirmed."
_RANK = "rank: qvq's own order, set by hand. MMMU: published, of the whole weights."
HEADS = ("model", "size", "fits", "tok/s", "rank", "licence", "here", "a token", "MMMU", "why")
"""Of the table in a pipe, where a column is added at the end and none is taken away."""
_SHOWN = (
    ("model", "size", "a token", "fits", "tok/s", "MMMU", "why", "licence", "here"),
    ("model", "size", "fits", "tok/s", "MMMU", "why", "here"),
    ("model", "size", "fits", "tok/s", "why", "here"),
)
"""Of the table in a terminal: the first that fits its width, else blocks of all."""
DISK_HEADS = ("model", "size", "revision", "whole", "path")


def write_models(env: Env, known: Sequence[Candidate], machine: Machine, remark: str) -> None:
    """Write the catalogue as a table.

    A person finds the model that is recommended for `machine` first, then the others in the order
    in which they would be, each with the reason, then what does not fit, dim, then `remark`; and
    the recommended one once more in the last row, since the first has left a small window by then.
    A script gets the catalogue's order.
    """
    rows = [dict(zip(HEADS, _row(one), strict=True)) for one in known]
    if not env.stdout.isatty():
        listing.write_table(env, HEADS, [tuple(row.values()) for row in rows])
        return
    order = sorted(range(len(known)), key=lambda at: _place(known[at]))
    ranked = [known[at] for at in order]
    chosen = bool(ranked) and ranked[0].standing is Standing.FIRST
    if chosen:
        share = rows[order[0]]["fits"].rpartition("✓")[2]
        rows[order[0]]["fits"] = f"best{share}"
    dimmed = {at for at, one in enumerate(ranked) if not _may_fit(one)}
    heads = _fitting(rows, env.terminal_size().columns)
    shown = [tuple(rows[at][head] for head in heads) for at in order]
    listing.write_table(env, heads, shown, dimmed, (0,) if chosen else ())
    remarks = (remark, _speeds(machine), _RANK, f"{_highest(ranked)}{_MARKS}")
    listing.write_text(env, "\n".join(filter(None, remarks)))
    if chosen:
        listing.write_strong(env, _advice(ranked[0], env))


def _fitting(rows: Sequence[Mapping[str, str]], columns: int) -> tuple[str, ...]:
    """Return the heads of the widest table that `columns` have room for."""
    from qvq_mlx.render.rows import cells

    for heads in _SHOWN:
        widths = [
            max(cells(text) for text in (head, *(row[head] for row in rows))) for head in heads
        ]
        if sum(widths) + 2 * (len(heads) - 1) <= columns:
            return heads
    return _SHOWN[0]


def _place(known: Candidate) -> tuple[int, int]:
    """Return where a person finds a model: as `best` would take them, then what it never takes."""
    first = known.standing is Standing.FIRST
    verdict = known.estimate.verdict
    ranked = may_be_default(known.card)
    group = 0 if first else 4 if verdict is Verdict.NO else 3 if not ranked else 1
    return group + (group == 1 and verdict is not Verdict.YES), -known.card.rank


def _why(known: Candidate) -> str:
    """Return the reason for a model's place in few words."""
    rank, limit = f"rank {known.card.rank}", known.estimate.working_set_bytes
    match known.standing:
        case Standing.FIRST:
            return f"{rank}, first"
        case Standing.BELOW:
            return rank
        case Standing.TOO_LARGE:
            return f"{(known.estimate.needed_bytes - (limit or 0)) / 2**30:.1f} GiB over"
        case Standing.TEXT_ONLY:
            return "text only"
        case Standing.NO_SOURCE:
            return "no source"
        case Standing.RESEARCH_ONLY:
            return "research only"
        case Standing.FEW_BITS:
            return "under 4 bit"
        case Standing.NOT_RANKED:
            return "not ranked"
        case Standing.UNKNOWN:
            return f"{rank}, if it fits"
        case None:
            return ""
        case _:
            assert_never(known.standing)


def _speeds(machine: Machine) -> str:
    """Return how the speeds come about; '' where the chip is not known."""
    if not machine.bandwidth_bytes_per_s:
        return ""
    share = achieved_share(machine.chip) * 100
    rate = f"{machine.bandwidth_bytes_per_s / 1e9:g} GB/s"
    return f"tok/s: {share:.0f} % of the {rate} of {machine.chip} / the bytes that a token reads."


def _highest(ranked: Sequence[Candidate]) -> str:
    """Return on which Mac the model of the highest rank is the first."""
    cards = [one.card for one in ranked]
    top = max(filter(may_be_default, cards), key=lambda card: card.rank, default=None)
    smallest = first_from(cards).get(top.name) if top is not None else None
    if top is None or smallest is None:
        return ""
    return f"{top.name} comes first from {smallest // 2**30} GiB on. "


def _advice(best_one: Candidate, env: Env) -> str:
    """Return the row that says what to take: the model, its size and share, the next command."""
    name, share = best_one.card.name, best_one.estimate.share
    facts = [_download(best_one.card), *([f"{share * 100:.0f} %"] if share is not None else [])]
    after = "it is here" if best_one.on_disk else env.spelling.remedy(PullModel(name))
    return f"best here: {name} ({', '.join(filter(None, facts))}) · {after}"


def write_downloaded(env: Env, entries: Sequence[DiskEntry]) -> None:
    """Write what is on this disk as a table."""
    rows = [
        (
            entry.name + (" (data set)" if entry.kind is RepoKind.DATASET else ""),
            size(entry.size_bytes),
            (entry.revision or "")[:8] if entry.repo else "shipped",
            "yes" if entry.whole else "no",
            entry.path,
        )
        for entry in entries
    ]
    listing.write_table(env, DISK_HEADS, rows)


def write_model(env: Env, known: Candidate, path: str) -> None:
    """All that is known of one model. `path`: where it lies, or that it does not."""
    listing.write_facts(env, _facts(known, path))


def share_of(machine: Machine) -> str:
    """Return the whole of which `fits` is a share; '' where the machine's memory is not known."""
    if machine.working_set_bytes is None:
        return ""
    return f"{size(machine.working_set_bytes)} ({machine.working_set_source})"


def _row(known: Candidate) -> tuple[str, ...]:
    card = known.card
    return (
        card.name + ("?" if "repo" in card.unconfirmed else ""),
        _download(card),
        _fits(known.estimate),
        _speed(known.tokens_per_s) if card.download_bytes > 2**30 else "",
        str(card.rank) if may_be_default(card) else "",
        card.licence,
        "yes" if known.on_disk else "",
        size(read_bytes(card)) if card.download_bytes > 2**30 else "",
        f"{card.mmmu:.1f}" if card.mmmu else "",
        _why(known),
    )


def _may_fit(known: Candidate) -> bool:
    return known.estimate.verdict is not Verdict.NO


def _fits(found: Estimate) -> str:
    """`✓ 44 %`, `tight 88 %`, `✗ 117 %`, `?`."""
    share = f" {found.share * 100:.0f} %" if found.share is not None else ""
    match found.verdict:
        case Verdict.YES:
            return f"✓{share}"
        case Verdict.TIGHT:
            return f"tight{share}"
        case Verdict.NO:
            return f"✗{share}"
        case Verdict.UNKNOWN:
            return "?"


def _download(card: ModelCard) -> str:
    """`38.5 GiB`; `~` in front where it is computed."""
    mark = "~" if "download_bytes" in card.unconfirmed else ""
    return mark + size(card.download_bytes) if card.download_bytes else ""


def _speed(tokens_per_s: float | None) -> str:
    """Three digits at most."""
    if tokens_per_s is None:
        return ""
    return f"{tokens_per_s:.1f}" if tokens_per_s < 10 else f"{tokens_per_s:.0f}"


def _facts(known: Candidate, path: str) -> list[tuple[str, str]]:
    card, found = known.card, known.estimate
    rate = _speed(known.tokens_per_s)

    def marked(field: str, value: str) -> str:
        doubtful = any(field == name or field.startswith(f"{name}.") for name in card.unconfirmed)
        return f"{value} (unconfirmed)" if doubtful and value else value

    facts = [
        ("model", card.name),
        ("aliases", ", ".join(card.aliases)),
        ("summary", card.summary),
        ("repository", marked("repo", card.repo)),
        ("bits", f"{card.bits:g}" if card.bits else ""),
        ("size", _download(card)),
        ("path", path),
        ("fits", f"{_fits(found)}: {found.reason}"),
        ("tokens/s", f"{rate} expected" if rate else ""),
        ("rank", f"{card.rank}, qvq's own order" if card.rank else ""),
        ("MMMU", f"{card.mmmu:.1f} %, as published" if card.mmmu else ""),
        ("licence", marked("licence", card.licence)),
        ("family", card.family),
        ("sees", _sees(card)),
        ("thinks", marked("thinking.style", str(card.thinking.style))),
        ("rounds", "several" if card.rounds else "one only: follow-ups are retold"),
        ("closing", marked("thinking.closing", repr(card.thinking.closing))),
        *((("without", repr(card.thinking.unasked)),) if card.thinking.unasked else ()),
        ("system", marked("system", card.system or "none")),
        ("sampling", marked("sampling", _sampling(card.sampling, card))),
        *(
            (("not thinking", marked("direct_sampling", _sampling(direct, card))),)
            if (direct := card.direct_sampling) is not None
            else ()
        ),
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


def _sampling(sampling: Sampling, card: ModelCard) -> str:
    penalties = "".join(
        f", {name} {value:g}"
        for name, value, off in (
            ("min_p", sampling.min_p, 0),
            ("repetition_penalty", sampling.repetition_penalty, 1),
            ("presence_penalty", sampling.presence_penalty, 0),
        )
        if value != off
    )
    if sampling.temperature == 0:
        return f"greedy{penalties}"
    parts = (
        f"temperature {sampling.temperature:g}, top_p {sampling.top_p:g}, top_k {sampling.top_k}"
        f"{penalties}"
    )
    return parts + (" (unconfirmed)" if "sampling.temperature" in card.unconfirmed else "")


def _experts(shape: Shape) -> list[tuple[str, str, str]]:
    """All experts are in memory; a token is computed with the active ones."""
    found = shape.experts
    if found is None:
        return []
    shared = f" and one shared of {found.shared_intermediate}" if found.shared_intermediate else ""
    text = (
        f"{found.count} of {found.intermediate}{shared} in {found.layers} layers, all in memory;"
        f" {found.active} active for a token"
    )
    share = shape.active_share
    rate = f"{share * 100:.0f} % of the weights" if share < 1 else ""
    if rate and shape.parameters:
        rate += f", {shape.parameters * share / 1e9:.3g} B"
    return [("experts", "shape.experts", text), ("active", "shape.experts", rate)]


def _shape_facts(shape: Shape | None) -> list[tuple[str, str, str]]:
    if shape is None:
        return [("shape", "shape", "not known")]
    heads = f"{shape.heads} heads, {shape.kv_heads} for keys and values, of {shape.head_dim}"
    facts = [
        ("parameters", "shape.parameters", f"{shape.parameters / 1e9:.4g} B"),
        ("layers", "shape.layers", f"{shape.layers} x {shape.hidden}, {heads}"),
        ("intermediate", "shape.intermediate", str(shape.intermediate)),
        *_experts(shape),
        ("vocabulary", "shape.vocab", f"{shape.vocab:,}" + (", tied" if shape.tied else "")),
        ("context", "shape.context_tokens", f"{shape.context_tokens:,} tokens"),
        ("KV cache", "shape.layers", f"{kv_bytes_per_token(shape) / 1024:g} KiB per token"),
    ]
    if linear := shape.recurrent:
        held = size(linear.state_bytes(shape.float_bytes))
        text = f"{linear.layers} of {shape.layers}, a state of {held} instead of a KV cache"
        facts.append(("linear layers", "shape.recurrent", text))
    if eyes := shape.vision:
        patches = f"patches of {eyes.patch} px, {eyes.merge} x {eyes.merge} to a token"
        text = f"{eyes.depth} x {eyes.hidden}, {eyes.heads} heads, {patches}"
        facts.append(("vision", "shape.vision", text))
    return [fact for fact in facts if not (fact[0] == "parameters" and not shape.parameters)]
