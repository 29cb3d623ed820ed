"""Transformers folders of the tiny model: write them, and start from one (needs torch).

Law: a folder is complete at any time (weights are written aside and renamed into place), so that
an export can be taken while training goes on. Starting from a folder with another tokenizer keeps
what the model knows: a token of the same string keeps its embedding row, a new token starts as the
mean of the rows that spelled it before.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn

from tools.tiny import hub
from tools.tiny.network import TinyQwen2VL

HEAD_FILE = "grounding.head"  # safetensors, but loaders take every *.safetensors for the model
EMBEDDINGS = "model.embed_tokens.weight"


def save(model: TinyQwen2VL, tokenizer_dir: Path, out: Path) -> None:
    """Write the complete transformers folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    weights = {name: value.detach().contiguous() for name, value in model.state_dict().items()}
    partial = out / "model.safetensors.partial"
    save_file(weights, partial, metadata={"format": "pt"})
    partial.replace(out / "model.safetensors")
    hub.write_json(out / "config.json", hub.model_config(model.shape))
    hub.write_processor_files(out)
    for name in hub.TOKENIZER_FILES:
        shutil.copyfile(tokenizer_dir / name, out / name)


def save_head(head: nn.Linear, out: Path) -> None:
    """Keep the grounding head beside the checkpoint, for runs that start from it."""
    save_file(dict(head.state_dict()), out / HEAD_FILE)


def load_head(head: nn.Linear, folder: Path) -> bool:
    """Take over the folder's grounding head, if it has one of this size."""
    if not (folder / HEAD_FILE).exists():
        return False
    weights = load_file(folder / HEAD_FILE)
    if weights["weight"].shape != head.weight.shape:
        return False
    head.load_state_dict(weights)
    return True


def moved_embeddings(rows: Tensor, old: Tokenizer, new: Tokenizer) -> Tensor:
    """Embedding rows for `new`'s vocabulary from those of `old`: (vocab, width)."""
    known = old.get_vocab()
    moved = torch.empty_like(rows)
    for token, token_id in new.get_vocab().items():
        pieces = [known[token]] if token in known else old.encode(new.decode([token_id])).ids
        moved[token_id] = rows[pieces].mean(0)
    return moved


def start_from(model: TinyQwen2VL, folder: Path, tokenizer_dir: Path) -> None:
    """Load the weights of `folder`, moved to the vocabulary of `tokenizer_dir`."""
    stored = load_file(folder / "model.safetensors")
    weights = {name: value.float() for name, value in stored.items()}
    old = Tokenizer.from_file(str(folder / "tokenizer.json"))
    new = Tokenizer.from_file(str(tokenizer_dir / "tokenizer.json"))
    weights[EMBEDDINGS] = moved_embeddings(weights[EMBEDDINGS], old, new)
    model.load_state_dict(deepened(model, weights))


LAST_OF_A_BLOCK = (
    *("o_proj.weight", "down_proj.weight", "attn.proj.weight", "attn.proj.bias"),
    *("mlp.fc2.weight", "mlp.fc2.bias"),
)


def deepened(model: TinyQwen2VL, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """`weights`, and for layers that the folder does not have the model's own.

    Their outputs onto the residual stream are zero, so the deeper model begins as the folder's.
    """
    missing = {n: v.clone() for n, v in model.state_dict().items() if n not in weights}
    for name, value in missing.items():
        if ".layers." not in name and ".blocks." not in name:
            raise SystemExit(f"{name} is not in the folder")
        if name.endswith(LAST_OF_A_BLOCK):
            value.zero_()
    return weights | missing
