"""Turn a transformers folder of the tiny model into the MLX folder that is shipped (needs mlx-vlm).

Law: the weights are what `mlx_vlm.convert` makes of the folder in float32, names and layouts
untouched. The language model and its embeddings are quantized (4 bit, groups of 64, affine); the
vision encoder stays float32. Scales are float32 because the x86 backend's quantized matmul is
several times slower with 16-bit scales. Every other file is ours: flat hub style, complete offline.

    python -m tools.tiny.export CHECKPOINT OUT [--bits 4]        (--bits 0: float32, not quantized)
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path

from tools.tiny import hub

GROUP_SIZE = 64


def convert_weights(checkpoint: Path, weights_file: Path, bits: int) -> None:
    """Convert with mlx-vlm in a scratch folder and keep only the weights."""
    from mlx_vlm import convert

    with tempfile.TemporaryDirectory() as scratch:
        converted = Path(scratch) / "mlx"
        convert(
            str(checkpoint.resolve()),
            str(converted),
            quantize=bits > 0,
            q_bits=bits or None,
            q_group_size=GROUP_SIZE,
            dtype="float32",
        )
        shutil.copyfile(converted / "model.safetensors", weights_file)


def write_config(checkpoint: Path, out: Path, bits: int) -> None:
    """The checkpoint's flat config, plus what the MLX loaders read about the quantization."""
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    config["torch_dtype"] = "float32"
    if bits:
        quantization = {"group_size": GROUP_SIZE, "bits": bits, "mode": "affine"}
        config |= {"quantization": quantization, "quantization_config": quantization}
    hub.write_json(out / "config.json", config)


def export(checkpoint: Path, out: Path, bits: int = 4) -> None:
    """Write the complete MLX folder `out`; a README that is already there is left alone."""
    out.mkdir(parents=True, exist_ok=True)
    convert_weights(checkpoint, out / "model.safetensors", bits)
    write_config(checkpoint, out, bits)
    hub.write_processor_files(out)
    for name in hub.TOKENIZER_FILES:
        shutil.copyfile(checkpoint / name, out / name)
    total_bytes = sum(path.stat().st_size for path in out.iterdir())
    print(f"{out}: {total_bytes / 1e6:.2f} MB")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="export the tiny model to an MLX folder")
    parser.add_argument("checkpoint", type=Path, help="transformers folder")
    parser.add_argument("out", type=Path, help="MLX folder to write")
    parser.add_argument("--bits", type=int, default=4, choices=(0, 4, 8))
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    export(options.checkpoint, options.out, options.bits)


if __name__ == "__main__":
    main()
