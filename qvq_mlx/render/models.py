"""Models as tables and facts: the catalogue, what is on this disk, and all that is known of one.

Law: `~` stands before a size that is computed, `?` behind a name whose repository no source
confirms, and "unconfirmed" behind a fact of a card that none does.
"""

from __future__ import annotations

from collections.abc import Sequence

from qvq_mlx.core.card import ModelCard, Shape
from qvq_mlx.core.env import Env
from qvq_mlx.core.machine import Machine
from qvq_mlx.core.remedies import PullModel
from qvq_mlx.core.sizes import size
from qvq_mlx.memory.candidates import Candidate
from qvq_mlx.memory.choice import best, may_be_default
from qvq_mlx.memory.estimate import Estimate, Verdict, kv_bytes_per_token
from qvq_mlx.records.models import DiskEntry
from qvq_mlx.render import listing
from qvq_mlx.store.layout import RepoKind

_MARKS = "~: computed; ?: not confirmed."
HEADS = ("model", "size", "fits", "tok/s", "rank", "licence", "here")
DISK_HEADS = ("model", "size", "revision", "whole", "path")


def write_models(env: Env, known: Sequence[Candidate], machine: Machine, remark: str) -> None:
    """Write the catalogue as a table.

    A person finds the model that is recommended for `machine` first, then what fits, then the
    rest, dim, then `remark`; and the recommended one once more in the last row, since the first has
    left a small window by then. A script gets the catalogue's order. `rank` orders the
    recommendations among those that fit comfortably; a model without one is never recommended.
    """
    if not env.stdout.isatty():
        listing.write_table(env, HEADS, [_row(one) for one in known])
        return
    chosen = best((one.card for one in known), machine)
    ranked = sorted(known, key=lambda one: (one.card is not chosen, not _may_fit(one)))
    rows = [_row(one) for one in ranked]
    if chosen is not None:
        at = HEADS.index("fits")
        share = rows[0][at].rpartition("✓")[2]
        rows[0] = (*rows[0][:at], f"best{share}", *rows[0][at + 1 :])
    dimmed = {at for at, one in enumerate(ranked) if not _may_fit(one)}
    listing.write_table(env, HEADS, rows, dimmed, () if chosen is None else (0,))
    listing.write_text(env, f"{remark} {_MARKS}")
    if chosen is not None:
        listing.write_strong(env, _advice(ranked[0], env))


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
    chip = f"; tok/s of {machine.chip}" if machine.bandwidth_bytes_per_s else ""
    return f"{size(machine.working_set_bytes)} ({machine.working_set_source}){chip}"


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
        ("licence", marked("licence", card.licence)),
        ("family", card.family),
        ("sees", _sees(card)),
        ("thinks", marked("thinking.style", str(card.thinking.style))),
        ("rounds", "several" if card.rounds else "one only: follow-ups are retold"),
        ("closing", marked("thinking.closing", repr(card.thinking.closing))),
        *((("without", repr(card.thinking.unasked)),) if card.thinking.unasked else ()),
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
