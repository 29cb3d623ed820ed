"""Record what the shipped weights say in transformers (needs torch and transformers).

Law: the shipped folder is dequantized into Qwen2VLForConditionalGeneration in float32 and asked
greedily about the stored pictures; nothing of mlx takes part. mlx-vlm and our engine must give the
same tokens. Pixels are those of the published resize, with Pillow's bicubic filter.

    python -m tools.tiny.goldens [MODEL] [DATA]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import save_file

from tools.tiny import hub
from tools.tiny.dequantized import transformers_weights
from tools.tiny.network import patchify
from tools.tiny.pictures import target_size

MAX_TOKENS = 220


def load(folder: Path) -> tuple[Any, Any]:
    """Model and tokenizer in transformers; refuses weights that do not fit exactly."""
    from transformers import AutoTokenizer, Qwen2VLForConditionalGeneration

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config = {name: value for name, value in config.items() if not name.startswith("quantization")}
    with tempfile.TemporaryDirectory() as scratch:
        weights_file = Path(scratch) / "model.safetensors"
        save_file(transformers_weights(folder), weights_file, {"format": "pt"})
        hub.write_json(Path(scratch) / "config.json", config)
        model, report = Qwen2VLForConditionalGeneration.from_pretrained(
            scratch, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
        )
    missing = set(report["missing_keys"]) - {"lm_head.weight"}
    if missing or report["unexpected_keys"]:
        raise SystemExit(f"weights do not fit: {missing} {report['unexpected_keys']}")
    return model.eval(), AutoTokenizer.from_pretrained(folder)


def pixels(image: Image.Image) -> tuple[torch.Tensor, torch.Tensor]:
    """pixel_values (patches, 1176) and image_grid_thw (1, 3)."""
    size = target_size(*image.size)
    resized = np.asarray(image.convert("RGB").resize(size, Image.Resampling.BICUBIC))
    patches, rows, columns = patchify(torch.from_numpy(resized.copy())[None])
    area = hub.PATCH_PX**2
    channels = patches[0].view(-1, 3, 1, area).expand(-1, 3, 2, area)  # two equal moments
    return channels.reshape(len(patches[0]), -1), torch.tensor([[1, rows, columns]])


def record(
    model: Any,  # noqa: ANN401 (transformers is untyped)
    tokenizer: Any,  # noqa: ANN401
    image: Image.Image,
    case: dict[str, Any],
) -> dict[str, Any]:
    """One case with the prompt's length and the greedy reply."""
    content = [{"type": "image"}, {"type": "text", "text": case["question"]}]
    messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
    if case["system"] is not None:
        messages.insert(0, {"role": "system", "content": case["system"]})
    prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    pixel_values, grid = pixels(image)
    image_tokens = int(grid.prod()) // hub.MERGE**2
    prompt = prompt.replace("<|image_pad|>", "<|image_pad|>" * image_tokens)
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    with torch.no_grad():
        output = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            pixel_values=pixel_values,
            image_grid_thw=grid,
            do_sample=False,
            max_new_tokens=MAX_TOKENS,
            eos_token_id=[hub.IM_END, hub.END_OF_TEXT],
            pad_token_id=hub.END_OF_TEXT,
            mm_token_type_ids=(ids == hub.IMAGE_PAD).int(),  # without it M-RoPE is left out
        )
    ends = (hub.IM_END, hub.END_OF_TEXT)
    token_ids = [token for token in output[0, ids.shape[1] :].tolist() if token not in ends]
    return {
        **case,
        "prompt_tokens": ids.shape[1],
        "text": tokenizer.decode(token_ids),
        "token_ids": token_ids,
    }


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="record what transformers replies")
    parser.add_argument("model", type=Path, nargs="?", default=Path("models/qvq-tiny"))
    parser.add_argument("data", type=Path, nargs="?", default=Path("tests/data/tiny"))
    parser.add_argument("--out", type=Path, help="default: DATA/goldens.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model, tokenizer = load(options.model)
    goldens = []
    for case in json.loads((options.data / "cases.json").read_text(encoding="utf-8")):
        goldens.append(record(model, tokenizer, Image.open(options.data / case["image"]), case))
        right = goldens[-1]["text"].endswith(f"\\boxed{{{case['answer']}}}")
        print(f"{'right' if right else 'WRONG'} {case['image']}")
    hub.write_json(options.out or options.data / "goldens.json", goldens)


if __name__ == "__main__":
    main()
