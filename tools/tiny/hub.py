"""The JSON files of a model folder in the flat Qwen2-VL hub style; standard library only.

Law: every id and size in these files comes from one place (`Shape` and the special tokens below),
so config, tokenizer and processor cannot disagree. The folder is complete: mlx-vlm and
transformers load it from an absolute path without asking the Hub for a missing sidecar.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

VOCAB_SIZE = 1024
SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
FIRST_SPECIAL_ID = VOCAB_SIZE - len(SPECIAL_TOKENS)
SPECIAL_IDS = {token: FIRST_SPECIAL_ID + i for i, token in enumerate(SPECIAL_TOKENS)}

END_OF_TEXT = SPECIAL_IDS["<|endoftext|>"]
IM_START = SPECIAL_IDS["<|im_start|>"]
IM_END = SPECIAL_IDS["<|im_end|>"]
VISION_START = SPECIAL_IDS["<|vision_start|>"]
VISION_END = SPECIAL_IDS["<|vision_end|>"]
IMAGE_PAD = SPECIAL_IDS["<|image_pad|>"]

PATCH_PX = 14
MERGE = 2
CELL_PX = PATCH_PX * MERGE  # one image token covers 28x28 pixels
MIN_PIXELS = 112 * 112
MAX_PIXELS = 140 * 140
IMAGE_MEAN = (0.48145466, 0.4578275, 0.40821073)
IMAGE_STD = (0.26862954, 0.26130258, 0.27577711)

# Files of the tokenizer; `tools.tiny.tokenizer` writes them, every model folder carries a copy.
TOKENIZER_FILES = (
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
    "tokenizer_config.json",
    "chat_template.json",
)


@dataclass(frozen=True, slots=True)
class Shape:
    """Widths and depths of one model; all language widths are multiples of 64 (quantization)."""

    vision_width: int
    vision_layers: int
    vision_heads: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    mlp_width: int
    # At Qwen's 1e6 the row and column sections of a 32-wide head turn by less than 0.003 rad per
    # step, so that a small model can hardly tell columns apart.
    rope_theta: float = 100.0
    mrope_section: tuple[int, int, int] = (4, 6, 6)

    @property
    def head_width(self) -> int:
        """Width of one attention head; twice the sum of `mrope_section`."""
        return self.width // self.heads


SHAPES = {
    "main": Shape(128, 4, 4, 192, 5, 6, 2, 512),
    "second": Shape(128, 6, 4, 192, 7, 6, 2, 512),
    "draft": Shape(64, 2, 2, 128, 2, 4, 2, 256),
}


def model_config(shape: Shape) -> dict[str, object]:
    """config.json of a transformers folder: flat, with the legacy `rope_scaling.type`."""
    return {
        "architectures": ["Qwen2VLForConditionalGeneration"],
        "attention_dropout": 0.0,
        "bos_token_id": END_OF_TEXT,
        "eos_token_id": IM_END,
        "pad_token_id": END_OF_TEXT,
        "hidden_act": "silu",
        "hidden_size": shape.width,
        "image_token_id": IMAGE_PAD,
        "initializer_range": 0.02,
        "intermediate_size": shape.mlp_width,
        "max_position_embeddings": 4096,
        "max_window_layers": shape.layers,
        "model_type": "qwen2_vl",
        "num_attention_heads": shape.heads,
        "num_hidden_layers": shape.layers,
        "num_key_value_heads": shape.kv_heads,
        "rms_norm_eps": 1e-6,
        "rope_scaling": {"type": "mrope", "mrope_section": list(shape.mrope_section)},
        "rope_theta": shape.rope_theta,
        "sliding_window": 4096,
        "tie_word_embeddings": True,
        "torch_dtype": "float32",
        "use_cache": True,
        "use_sliding_window": False,
        "video_token_id": SPECIAL_IDS["<|video_pad|>"],
        "vision_end_token_id": VISION_END,
        "vision_start_token_id": VISION_START,
        "vision_token_id": SPECIAL_IDS["<|vision_pad|>"],
        "vocab_size": VOCAB_SIZE,
        "vision_config": {
            "depth": shape.vision_layers,
            "embed_dim": shape.vision_width,
            "hidden_act": "quick_gelu",
            "hidden_size": shape.width,
            "in_channels": 3,
            "in_chans": 3,
            "mlp_ratio": 4,
            "model_type": "qwen2_vl",
            "num_heads": shape.vision_heads,
            "patch_size": PATCH_PX,
            "spatial_merge_size": MERGE,
            "spatial_patch_size": PATCH_PX,
            "temporal_patch_size": 2,
        },
    }


def _image_processor() -> dict[str, object]:
    return {
        "min_pixels": MIN_PIXELS,
        "max_pixels": MAX_PIXELS,
        "size": {"shortest_edge": MIN_PIXELS, "longest_edge": MAX_PIXELS},
        "patch_size": PATCH_PX,
        "temporal_patch_size": 2,
        "merge_size": MERGE,
        "image_mean": list(IMAGE_MEAN),
        "image_std": list(IMAGE_STD),
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "do_convert_rgb": True,
        "resample": 3,
        "rescale_factor": 1 / 255,
    }


def write_json(path: Path, value: object) -> None:
    """Write `value` as indented UTF-8."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, object]:
    """The JSON object in `path`."""
    value: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
    return value


def write_processor_files(folder: Path) -> None:
    """Write every JSON file of `folder` that depends on neither weights nor tokenizer."""
    image = _image_processor()
    named = {"processor_class": "Qwen2VLProcessor"}
    write_json(
        folder / "preprocessor_config.json",
        {**image, "image_processor_type": "Qwen2VLImageProcessor", **named},
    )
    write_json(
        folder / "video_preprocessor_config.json",
        {**image, "video_processor_type": "Qwen2VLVideoProcessor", **named},
    )
    write_json(folder / "processor_config.json", named)
    write_json(
        folder / "generation_config.json",
        {
            "bos_token_id": END_OF_TEXT,
            "pad_token_id": END_OF_TEXT,
            "do_sample": False,
            "eos_token_id": [IM_END, END_OF_TEXT],
        },
    )
