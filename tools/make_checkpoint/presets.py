"""The shapes that can be built, and their config.json; standard library only.

Law: a preset's config is flat, as the published conversions of Qwen2-VL and QVQ have it, and
states every size once.
"""

from __future__ import annotations

from dataclasses import dataclass

from tools.tiny import hub


@dataclass(frozen=True, slots=True)
class Preset:
    """One architecture. `rows` are the rows of the embedding, more than the tokenizer has ids."""

    shape: hub.Shape
    rows: int
    tied: bool
    real_tokenizer: bool
    dtype: str
    bits: int | None

    @property
    def ids(self) -> dict[str, int]:
        """The id of every special token."""
        if not self.real_tokenizer:
            return hub.SPECIAL_IDS
        return {token: FIRST_QWEN_SPECIAL_ID + i for i, token in enumerate(hub.SPECIAL_TOKENS)}


FIRST_QWEN_SPECIAL_ID = 151_643

PRESETS = {
    # two layers and the tokenizer of the embedded model, with 64 rows that no id reaches
    "tiny": Preset(
        hub.Shape(
            vision_width=64,
            vision_layers=2,
            vision_heads=2,
            width=128,
            layers=2,
            heads=4,
            kv_heads=2,
            mlp_width=256,
            rope_theta=1e6,
        ),
        rows=hub.VOCAB_SIZE + 64,
        tied=False,
        real_tokenizer=False,
        dtype="float32",
        bits=None,
    ),
    # 91 M parameters, 78 M of them the tied embedding: a separate head would add as much again.
    # One vision layer of two heads: on a CPU, attention over 5,000 patches outweighs all else.
    "mid": Preset(
        hub.Shape(
            vision_width=128,
            vision_layers=1,
            vision_heads=2,
            width=512,
            layers=4,
            heads=8,
            kv_heads=2,
            mlp_width=1536,
            rope_theta=1e6,
            mrope_section=(8, 12, 12),
        ),
        rows=152_064,
        tied=True,
        real_tokenizer=True,
        dtype="float32",
        bits=None,
    ),
    # the same tokenizer, other padding, as Qwen2-VL's 2B has it against its 72B
    "mid-draft": Preset(
        hub.Shape(
            vision_width=64,
            vision_layers=1,
            vision_heads=1,
            width=256,
            layers=2,
            heads=4,
            kv_heads=2,
            mlp_width=1024,
            rope_theta=1e6,
            mrope_section=(8, 12, 12),
        ),
        rows=151_936,
        tied=True,
        real_tokenizer=True,
        dtype="float32",
        bits=None,
    ),
    # Qwen2-VL-2B's widths, depths and rows, with the embedded model's tokenizer: nothing is fetched
    "2b": Preset(
        hub.Shape(
            vision_width=1280,
            vision_layers=32,
            vision_heads=16,
            width=1536,
            layers=28,
            heads=12,
            kv_heads=2,
            mlp_width=8960,
            rope_theta=1e6,
            mrope_section=(16, 24, 24),
        ),
        rows=151_936,
        tied=True,
        real_tokenizer=False,
        dtype="bfloat16",
        bits=4,
    ),
    # QVQ-72B-Preview's widths; of its 80 language and 32 vision layers one and two
    "qvq-1layer": Preset(
        hub.Shape(
            vision_width=1280,
            vision_layers=2,
            vision_heads=16,
            width=8192,
            layers=1,
            heads=64,
            kv_heads=8,
            mlp_width=29_568,
            rope_theta=1e6,
            mrope_section=(16, 24, 24),
        ),
        rows=152_064,
        tied=False,
        real_tokenizer=True,
        dtype="bfloat16",
        bits=4,
    ),
}


def model_config(preset: Preset) -> dict[str, object]:
    """config.json without its quantization."""
    ids = preset.ids
    return hub.model_config(preset.shape) | {
        "bos_token_id": ids["<|endoftext|>"],
        "eos_token_id": ids["<|im_end|>"],
        "pad_token_id": ids["<|endoftext|>"],
        "image_token_id": ids["<|image_pad|>"],
        "video_token_id": ids["<|video_pad|>"],
        "vision_start_token_id": ids["<|vision_start|>"],
        "vision_end_token_id": ids["<|vision_end|>"],
        "vision_token_id": ids["<|vision_pad|>"],
        "max_position_embeddings": 32_768,
        "tie_word_embeddings": preset.tied,
        "torch_dtype": preset.dtype,
        "vocab_size": preset.rows,
    }
