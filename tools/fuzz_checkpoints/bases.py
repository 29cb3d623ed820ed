"""Sound checkpoints that mutants are made of: each family as transformers saves it, and converted.

The converted ones have weights in 4 bits, in several files with an index.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from qvq_mlx.families import ModelType, family_named
from tools.families import drawn

ROOT = Path(__file__).parents[2]
_TINY = ROOT / "models" / "qvq-tiny"
_FAMILIES = ROOT / "tests" / "data" / "families"
_SHARD_BYTES = 2**17
PICTURE = "picture.png"
"""What the mutants are asked about: the fewest tokens that every family takes."""


def make(folder: Path) -> list[Path]:
    """Write every base into `folder`. Run this in a process of its own: it computes with MLX."""
    from PIL import Image

    folder.mkdir()
    Image.radial_gradient("L").resize((224, 224)).convert("RGB").save(folder / PICTURE)
    bases = []
    for family in sorted(path for path in _FAMILIES.iterdir() if path.is_dir()):
        plain = _plain(family, folder / family.name)
        bases += [plain, _converted(plain, folder / f"{family.name}-4bit")]
    return bases


def sees(base: Path) -> bool:
    """True if this checkpoint's family takes pictures."""
    return family_named(ModelType(base.name.split("-")[0])).vision is not None


def _plain(family: Path, folder: Path) -> Path:
    import mlx.core as mx

    shutil.copytree(family, folder, ignore=shutil.ignore_patterns("goldens*"))
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.json"):
        shutil.copy(_TINY / name, folder)
    shapes = folder / "weights.json"
    weights = drawn.weights(json.loads(shapes.read_text()))
    shapes.unlink()
    path = folder / "model.safetensors"
    mx.save_safetensors(str(path), {name: mx.array(weight) for name, weight in weights.items()})
    return folder


def _converted(source: Path, folder: Path) -> Path:
    from qvq_mlx.engine.convert import Conversion
    from qvq_mlx.engine.recipe import Dtype, Recipe

    folder.mkdir()
    for _ in Conversion(source, Recipe(4, 32, Dtype.FLOAT32)).write(folder, _SHARD_BYTES):
        pass
    return folder
