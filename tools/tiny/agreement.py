"""How often the draft model proposes the token that the main model writes (needs mlx-vlm).

Law: greedy against greedy, teacher-forced: for every token of the main model's own reply, end token
included, the draft sees exactly the main model's text so far. The second figure is what speculative
decoding makes of it: tokens per pass of the main model when blocks of k tokens are drafted.

    python -m tools.tiny.agreement [MODEL] [DRAFT] [--seed 7] [--count 100]
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

from tools.tiny.cases import held_out
from tools.tiny.hub import IM_END
from tools.tiny.model import Inputs, ShippedModel
from tools.tiny.replies import TASKS

BLOCKS = (2, 4, 8)


def proposed(draft: ShippedModel, inputs: Inputs, reply: list[int]) -> list[int]:
    """The draft's next token at every position of `reply`."""
    import mlx.core as mx

    prompt = inputs["input_ids"]
    ids = mx.concatenate([prompt, mx.array([reply], dtype=prompt.dtype)], axis=1)
    features = draft.model.get_input_embeddings(
        ids, inputs["pixel_values"], image_grid_thw=inputs["image_grid_thw"]
    )
    out = draft.model.language_model(
        ids, inputs_embeds=features.inputs_embeds, position_ids=features.position_ids
    )
    first = prompt.shape[1] - 1
    tokens: list[int] = out.logits[0, first : first + len(reply)].argmax(-1).tolist()
    return tokens


def passes(agreed: list[bool], block: int) -> int:
    """Forward passes of the main model: each accepts a drafted run and adds one token."""
    position = count = 0
    while position < len(agreed):
        run = agreed[position : position + block]
        position += (run.index(False) if False in run else len(run)) + 1
        count += 1
    return count


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="measure draft against main model")
    parser.add_argument("model", type=Path, nargs="?", default=Path("models/qvq-tiny"))
    parser.add_argument("draft", type=Path, nargs="?", default=Path("models/qvq-tiny-draft"))
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--count", type=int, default=100)
    options = parser.parse_args()
    model, draft = ShippedModel(options.model), ShippedModel(options.draft)
    agreed: dict[str, list[bool]] = defaultdict(list)
    total = dict.fromkeys(BLOCKS, 0)
    for case in held_out(options.seed, TASKS, options.count):
        inputs = model.prompt(case.image, case.question)
        reply = [*model.reply_ids(inputs), IM_END]
        same = [a == b for a, b in zip(proposed(draft, inputs, reply), reply, strict=True)]
        agreed[case.task] += same
        for block in BLOCKS:
            total[block] += passes(same, block)
    everything = [same for task in agreed.values() for same in task]
    print(f"seed {options.seed}, {options.count} pictures, {len(everything)} tokens")
    for task, same in agreed.items():
        print(f"{task:12} {sum(same) / len(same):6.1%}")
    print(f"{'overall':12} {sum(everything) / len(everything):6.1%}")
    for block in BLOCKS:
        print(f"blocks of {block}: {len(everything) / total[block]:.2f} tokens per pass")


if __name__ == "__main__":
    main()
