"""Record what transformers computes with tiny random checkpoints (needs torch and transformers).

Law: for every family a configuration is written by `save_pretrained`, the weights are drawn by
name (tools/families/drawn.py), `from_pretrained` reads the folder, and the model runs on the CPU
with eager attention; nothing of mlx takes part. It runs in float64: in float32 transformers itself
is up to 1.1e-4 away from that where random layers of linear attention and experts amplify rounding.
Stored per family are the files that `save_pretrained` writes, the names and shapes of its weights,
and the results:

    CASE.ids, CASE.positions (3, tokens), CASE.rows, CASE.logits (rows, vocab), CASE.argmax (tokens)
    greedy.ids: 120 tokens after the case "one" (after "text" where there is no vision)
    patches.N: pixels of picture N as the image processor hands them on
    clip.*, mixed.*: the same as for a CASE, with a clip, and with a clip between two pictures
    clip.greedy, clip.patches: as above, of the clip; long.*: a clip that spans more positions in
        time than on its longer side, at the positions of transformers 5.2 (engine/clips.py)

    python -m tools.families.goldens [DATA] [--only NAME]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from qvq_mlx.families import ModelType
from tools.families import drawn
from tools.families.precision import in_float64
from tools.families.tiny_models import CLIP_FPS, SPECIAL, TinyModel, other_shapes, tiny_model

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data" / "families"
TOKENIZER = ROOT / "models" / "qvq-tiny" / "tokenizer.json"
SYSTEM = "You are a careful reader."
QUESTION = "How many red circles are there, and which bar is the tallest of all?"
TOKEN_GRIDS = ((6, 5), (3, 7), (2, 2))
CLIP_TOKEN_GRID = (5, 6)
CLIP_FRAMES = 5
"""An odd number: the last one is shown twice."""
LONG_FRAMES = 20
GREEDY_TOKENS = 120
STORED_ROWS = 4
CLEAR_GAP = 1e-3
"""A greedy step whose best two logits are closer than this could differ by rounding."""


def rendered(token_counts: list[int], preopened: bool) -> str:
    """The text that the family's chat template gives: images first, then the question."""
    images = "".join(
        f"<|vision_start|>{'<|image_pad|>' * count}<|vision_end|>" for count in token_counts
    )
    opened = "<think>\n" if preopened else ""
    return (
        f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n{images}{QUESTION}<|im_end|>\n"
        f"<|im_start|>assistant\n{opened}"
    )


def read(family: TinyModel, folder: Path) -> torch.nn.Module:
    """Write the checkpoint into `folder` with drawn weights, and load it from there."""
    torch.manual_seed(0)
    family.model(family.config).save_pretrained(folder)
    with safe_open(folder / "model.safetensors", framework="np") as stored:
        names = list(stored.keys())  # the file is no mapping
        shapes = {name: list(stored.get_slice(name).get_shape()) for name in names}
    (folder / "weights.json").write_text(json.dumps(shapes, indent=0), encoding="utf-8")
    save_file(drawn.weights(shapes), folder / "model.safetensors", {"format": "pt"})
    model = family.model.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", local_files_only=True
    )
    return model.eval()


class Recorder:
    """Runs one family and collects its results."""

    def __init__(self, family: TinyModel, model: torch.nn.Module) -> None:
        self.family = family
        self.model = model
        self.results: dict[str, np.ndarray] = {}
        self._tokenizer = Tokenizer.from_file(str(TOKENIZER))
        self._processor = Qwen2VLImageProcessorPil(do_resize=False, **family.processor)

    def case(self, name: str, pictures: int) -> None:
        """One forward pass over a prompt with the first `pictures` pictures."""
        inputs = self._inputs(pictures)
        with torch.no_grad():
            logits = self.model(**inputs).logits[0].numpy().astype(np.float32)  # (tokens, vocab)
        rows = np.linspace(0, len(logits) - 1, STORED_ROWS).astype(np.int32)
        self.results |= {
            f"{name}.ids": inputs["input_ids"][0].numpy().astype(np.int16),
            f"{name}.rows": rows,
            f"{name}.logits": logits[rows],
            f"{name}.argmax": logits.argmax(-1).astype(np.int16),
        }
        if self.family.patch_px:
            kinds = {"mm_token_type_ids": inputs["mm_token_type_ids"]}
            grids = inputs.get("image_grid_thw")
            where, _ = self.model.model.get_rope_index(
                inputs["input_ids"], image_grid_thw=grids, **kinds
            )
            self.results[f"{name}.positions"] = where[:, 0].numpy().astype(np.int16)

    def greedy(self, pictures: int) -> None:
        """What the model writes, token by token, on its cache."""
        self._greedy("greedy.ids", self._inputs(pictures))

    def _greedy(self, name: str, inputs: dict[str, Any]) -> None:
        output = self.model.generate(
            **inputs,
            do_sample=False,
            max_new_tokens=GREEDY_TOKENS,
            eos_token_id=-1,
            output_logits=True,
            return_dict_in_generate=True,
        )
        for step, logits in enumerate(output.logits):
            best, second = logits[0].topk(2).values.tolist()
            if best - second < CLEAR_GAP:
                raise SystemExit(
                    f"{self.family.folder}: step {step} is a tie ({best - second:.1e})"
                )
        ids = output.sequences[0, inputs["input_ids"].shape[1] :]
        self.results[name] = ids.numpy().astype(np.int16)

    def patches(self, number: int) -> None:
        """What the image processor makes of picture `number`."""
        self.results[f"patches.{number}"] = (
            self._pixels([number])["pixel_values"].numpy().astype(np.float32)
        )

    def clips(self) -> None:
        """What a clip, one among pictures, and a long one come to."""
        self._store("clip", self._clip_inputs(CLIP_FRAMES))
        self.mixed_clip()
        self._store("long", self._clip_inputs(LONG_FRAMES, older_positions=True))
        self.results["clip.patches"] = (
            self._frames(CLIP_FRAMES)["pixel_values_videos"].numpy().astype(np.float32)
        )
        self._greedy("clip.greedy", self._clip_inputs(CLIP_FRAMES))

    def mixed_clip(self) -> None:
        """What a clip among pictures comes to."""
        self._store("mixed", self._clip_inputs(CLIP_FRAMES, pictures=2))

    def _store(self, name: str, inputs: dict[str, Any]) -> None:
        where = inputs.get("position_ids")
        if where is None:
            kinds = ("input_ids", "mm_token_type_ids", "image_grid_thw", "video_grid_thw")
            named = {
                kind: inputs[kind] for kind in (*kinds, "second_per_grid_ts") if kind in inputs
            }
            where, _ = self.model.model.get_rope_index(**named)
        with torch.no_grad():
            logits = self.model(**inputs).logits[0].numpy().astype(np.float32)  # (tokens, vocab)
        rows = np.linspace(0, len(logits) - 1, STORED_ROWS).astype(np.int32)
        self.results |= {
            f"{name}.ids": inputs["input_ids"][0].numpy().astype(np.int16),
            f"{name}.positions": where[:, 0].numpy().astype(np.int16),
            f"{name}.rows": rows,
            f"{name}.logits": logits[rows],
            f"{name}.argmax": logits.argmax(-1).astype(np.int16),
        }

    def _clip_inputs(
        self, frames: int, pictures: int = 0, older_positions: bool = False
    ) -> dict[str, Any]:
        """A clip behind the first of `pictures` and before the others."""
        steps = -(-frames // 2)
        tokens = CLIP_TOKEN_GRID[0] * CLIP_TOKEN_GRID[1]
        shown = f"<|vision_start|>{'<|video_pad|>' * (steps * tokens)}<|vision_end|>"
        if self.family.timestamps:
            times = [index / CLIP_FPS for index in range(frames)]
            times += times[-1:] * (frames % 2)
            shown = "".join(
                f"<{(times[step] + times[step + 1]) / 2:.1f} seconds>"
                f"<|vision_start|>{'<|video_pad|>' * tokens}<|vision_end|>"
                for step in range(0, len(times), 2)
            )
        images = [
            f"<|vision_start|>{'<|image_pad|>' * (rows * columns)}<|vision_end|>"
            for rows, columns in TOKEN_GRIDS[:pictures]
        ]
        text = rendered([], self.family.preopened)
        before, after = text.split(QUESTION)
        text = before + "".join([*images[:1], shown, *images[1:]]) + QUESTION + after
        ids = torch.tensor([self._tokenizer.encode(text, add_special_tokens=False).ids])
        kinds = (ids == SPECIAL["image_token_id"]).int() + 2 * (ids == SPECIAL["video_token_id"])
        inputs: dict[str, Any] = {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            "mm_token_type_ids": kinds.int(),
            **self._frames(frames),
            **(self._pixels(list(range(pictures))) if pictures else {}),
        }
        inputs |= self.family.arguments
        if older_positions:
            inputs["position_ids"] = self._older_positions(ids[0].tolist(), steps)
        return inputs

    def _older_positions(self, ids: list[int], steps: int) -> torch.Tensor:
        """Of a prompt with one clip: (3, 1, tokens), text behind the largest position."""
        rows, columns = CLIP_TOKEN_GRID
        in_block = 1 if self.family.timestamps else steps
        grid = torch.cartesian_prod(
            torch.arange(in_block), torch.arange(rows), torch.arange(columns)
        ).T.clone()
        grid[0] = (grid[0] * self.family.pace).long()
        parts: list[torch.Tensor] = []
        index = 0
        while index < len(ids):
            begin = int(parts[-1].max()) + 1 if parts else 0
            is_clip = ids[index] == SPECIAL["video_token_id"]
            parts.append(begin + (grid if is_clip else torch.zeros(3, 1, dtype=torch.long)))
            index += parts[-1].shape[1]
        return torch.cat(parts, dim=1)[:, None]

    def _frames(self, count: int) -> dict[str, torch.Tensor]:
        """What the image processor makes of each frame, put together by twos as the video
        processors do (`patchify`); these themselves need torchvision.
        """
        side, px = self.family.patch_px * 2, self.family.patch_px
        rows, columns = CLIP_TOKEN_GRID
        frames = [drawn.picture(rows * side, columns * side, 10 + n) for n in range(count)]
        frames += frames[-1:] * (count % 2)
        pixels = [
            self._processor(images=[frame], return_tensors="pt")["pixel_values"] for frame in frames
        ]
        twice = [part.reshape(-1, 3, 2, px, px) for part in pixels]  # a picture is in both halves
        steps = [
            torch.stack([first[:, :, 0], second[:, :, 0]], dim=2).reshape(len(first), -1)
            for first, second in zip(twice[::2], twice[1::2], strict=True)
        ]
        grid = [len(steps), rows * 2, columns * 2]
        return {"pixel_values_videos": torch.cat(steps), "video_grid_thw": torch.tensor([grid])}

    def record_all(self) -> None:
        """Everything that is stored of the family; of a further shape, less."""
        self.case("text", 0)
        if self.family.variant and self.family.patch_px:
            self.case("three", 3)
            self.mixed_clip()
        elif self.family.patch_px:
            for pictures, case in enumerate(("one", "two", "three"), start=1):
                self.case(case, pictures)
            self.patches(2)
            self.clips()
        self.greedy(1 if self.family.patch_px else 0)

    def save_processor(self, folder: Path) -> None:
        """Write preprocessor_config.json."""
        self._processor.save_pretrained(folder)

    def _inputs(self, pictures: int) -> dict[str, Any]:
        text = rendered([r * c for r, c in TOKEN_GRIDS[:pictures]], self.family.preopened)
        ids = torch.tensor([self._tokenizer.encode(text, add_special_tokens=False).ids])
        inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        if self.family.patch_px:
            inputs["mm_token_type_ids"] = (ids == SPECIAL["image_token_id"]).int()
        return inputs | (self._pixels(list(range(pictures))) if pictures else {})

    def _pixels(self, numbers: list[int]) -> dict[str, torch.Tensor]:
        side = self.family.patch_px * 2
        grids = [TOKEN_GRIDS[number] for number in numbers]
        images = [
            drawn.picture(rows * side, columns * side, number)
            for number, (rows, columns) in zip(numbers, grids, strict=True)
        ]
        return dict(self._processor(images=images, return_tensors="pt"))


def record(family: TinyModel, data: Path) -> None:
    """Write everything that is stored of one family."""
    target = data / family.folder
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = read(family, folder)
        recorder = Recorder(family, model)
        if family.patch_px:
            recorder.save_processor(folder)
        kept = [path for path in folder.iterdir() if path.suffix == ".json"]
        for path in kept:
            (target / path.name).write_bytes(path.read_bytes())
    with in_float64(model):
        recorder.record_all()
    np.savez_compressed(target / "goldens.npz", allow_pickle=False, **recorder.results)
    spread = float(recorder.results["text.logits"].std())
    print(f"{family.folder}: {len(recorder.results)} arrays, logits spread {spread:.1f}")


def main() -> None:
    """Record all families, in all shapes."""
    parser = argparse.ArgumentParser(description=__doc__, add_help=True)
    parser.add_argument("data", nargs="?", type=Path, default=DATA)
    parser.add_argument("--only", help="the folders that begin with this")
    arguments = parser.parse_args()
    for family in (*map(tiny_model, ModelType), *other_shapes()):
        if family.folder.startswith(arguments.only or ""):
            record(family, arguments.data)


if __name__ == "__main__":
    main()
