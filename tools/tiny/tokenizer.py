"""Train the byte-level BPE tokenizer in Qwen2's format and write its files (needs `tokenizers`).

Law: 256 bytes + merges + Qwen2-VL's 14 special tokens = `hub.VOCAB_SIZE`; the same seed gives the
same files. Qwen2's pre-tokenizer keeps every digit a token of its own. What is not in the corpus is
still encoded exactly, only in more tokens.

    python -m tools.tiny.tokenizer OUT
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from random import Random

from tools.tiny import hub, phrasings
from tools.tiny.pictures import take
from tools.tiny.questions import example
from tools.tiny.replies import CLOSING, QVQ_SYSTEM_PROMPT, SYSTEM_PROMPTS

PRE_TOKENIZER = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CHAT_TEMPLATE = (
    "{% set image_count = namespace(value=0) %}{% set video_count = namespace(value=0) %}"
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
    f"<|im_start|>system\n{QVQ_SYSTEM_PROMPT}<|im_end|>\n{{% endif %}}"
    "<|im_start|>{{ message['role'] }}\n{% if message['content'] is string %}"
    "{{ message['content'] }}<|im_end|>\n{% else %}{% for content in message['content'] %}"
    "{% if content['type'] == 'image' or 'image' in content or 'image_url' in content %}"
    "{% set image_count.value = image_count.value + 1 %}"
    "{% if add_vision_id %}Picture {{ image_count.value }}: {% endif %}"
    "<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif content['type'] == 'video' or 'video' in content %}"
    "{% set video_count.value = video_count.value + 1 %}"
    "{% if add_vision_id %}Video {{ video_count.value }}: {% endif %}"
    "<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# Enough everyday English that a question outside the corpus is not spelled byte by byte.
COMMON_ENGLISH = (
    "the of and to in is you that it he was for on are as with his they at be this have from or "
    "one had by word but not what all were we when your can said there use an each which she do "
    "how their if will up other about out many then them these so some her would make like him "
    "into time has look two more write go see number no way could people my than first water been "
    "call who oil its now find long down day did get come made may part over new sound take only "
    "little work know place year live me back give most very after thing our just name good "
    "sentence man think say great where help through much before line right too mean old any same "
    "tell boy follow came want show also around form three small set put end does another well "
    "large must big even such because turn here why ask went men read need land different home us "
    "move try kind hand picture again change off play spell air away animal house point page "
    "letter mother answer found study still learn should explain compare left side top bottom"
)


def corpus(pictures: int = 6000) -> list[str]:
    """Examples of the domain, every phrasing, the fixed texts, and some everyday words."""
    rng = Random(1)
    texts = []
    for _ in range(pictures):
        family = rng.choices(("shapes", "chart", "expression"), weights=(0.52, 0.28, 0.2))[0]
        scene = take(rng, family, (140, 140)).scene
        for _ in range(3):
            asked = example(rng, scene)
            texts.append(f"{asked.question}\n{asked.thinking}{CLOSING}{asked.boxed}")
    wordings = [
        text for group in vars(phrasings).values() if isinstance(group, tuple) for text in group
    ]
    texts += [text.format(x="A", y="B") for text in wordings] * 60
    texts += [*SYSTEM_PROMPTS, "system\n", "user\n", "assistant\n"] * 3000
    return texts + [COMMON_ENGLISH] * 20


def write_tokenizer(out: Path) -> None:
    """Train and write tokenizer.json."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, trainers
    from tokenizers import pre_tokenizers as pre

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre.Sequence(
        [
            pre.Split(Regex(PRE_TOKENIZER), "isolated"),
            pre.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=hub.FIRST_SPECIAL_ID,
        initial_alphabet=sorted(pre.ByteLevel.alphabet()),
        min_frequency=2,
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in hub.SPECIAL_TOKENS]
    )
    if tokenizer.get_vocab_size() != hub.VOCAB_SIZE:
        raise SystemExit(f"{tokenizer.get_vocab_size()} tokens instead of {hub.VOCAB_SIZE}")
    out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(out / "tokenizer.json"))


def write_sidecars(out: Path) -> None:
    """vocab.json, merges.txt, tokenizer_config.json and chat_template.json."""
    model = json.loads((out / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    hub.write_json(out / "vocab.json", model["vocab"])
    merges = "\n".join(" ".join(pair) for pair in model["merges"])
    (out / "merges.txt").write_text(f"#version: 0.2\n{merges}\n", encoding="utf-8")
    write_config(out, {token: (token_id, True) for token, token_id in hub.SPECIAL_IDS.items()})


def write_config(folder: Path, added: Mapping[str, tuple[int, bool]]) -> None:
    """Write tokenizer_config.json and chat_template.json. `added`: ids, and which are special."""
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    hub.write_json(
        folder / "tokenizer_config.json",
        {
            "add_prefix_space": False,
            "added_tokens_decoder": {
                str(token_id): {"content": token, **flags, "special": special}
                for token, (token_id, special) in added.items()
            },
            "additional_special_tokens": list(hub.SPECIAL_TOKENS[1:]),
            "bos_token": None,
            "chat_template": CHAT_TEMPLATE,
            "clean_up_tokenization_spaces": False,
            "eos_token": "<|im_end|>",
            "errors": "replace",
            "model_max_length": 32768,
            "pad_token": "<|endoftext|>",
            "padding_side": "left",
            "split_special_tokens": False,
            "tokenizer_class": "Qwen2Tokenizer",
            "unk_token": None,
        },
    )
    hub.write_json(folder / "chat_template.json", {"chat_template": CHAT_TEMPLATE})


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="train the tokenizer of the tiny model")
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    write_tokenizer(out)
    write_sidecars(out)


if __name__ == "__main__":
    main()
