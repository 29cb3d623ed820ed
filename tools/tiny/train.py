"""Train the tiny model on freshly drawn pictures (needs torch; two cores are enough).

Law: the clock rules. Rates follow a cosine over wall time and reach zero at the end, however fast
the machine is. Stage one teaches the vision encoder what lies in each cell (a linear head, thrown
away later); stage two teaches the whole model to think and answer, with the first task fading.
No example is ever seen twice: every figure in the log is on pictures not trained on yet.

    python -m tools.tiny.train --tokenizer TOK --out RUN [--init FOLDER]
        [--minutes 65 | --until 12:50]
"""

from __future__ import annotations

import argparse
import datetime as dt
import multiprocessing
import os
import time
from pathlib import Path
from queue import Full

import torch
import torch.nn.functional as F  # noqa: N812 (the name everybody knows)
from torch import Tensor, nn

from tools.tiny import checkpoint, hub, lessons, packing
from tools.tiny.muon import Muon
from tools.tiny.network import TinyQwen2VL, patchify
from tools.tiny.progress import Scored, Stage, Tally

Batch = packing.Batch
WEIGHT_DECAY = 0.05
GROUNDING_WEIGHT = 0.5
LOG_S = 20.0


class Learner:
    """The model, its grounding head, and both optimizers."""

    def __init__(self, model: TinyQwen2VL, lesson: lessons.Lessons, tokenizer: Path) -> None:
        self.model = model
        self.head = nn.Linear(model.shape.width, lesson.labels)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.constant_(self.head.bias, -4.0)  # most labels are absent from most cells
        # One layer is compiled for all of them: pictures are of many sizes, rows of one.
        for layer in model.model.layers:
            layer.compile(dynamic=False)
        for layer in model.visual.blocks:
            layer.compile(dynamic=True)
        self._content = torch.from_numpy(lesson.encoder(tokenizer).content)
        self._weights = [*model.parameters(), *self.head.parameters()]
        matrices = [p for n, p in model.named_parameters() if p.dim() == 2 and "embed" not in n]
        taken = {id(p) for p in matrices}
        self._muon = Muon(matrices, WEIGHT_DECAY)
        others = [p for p in self._weights if id(p) not in taken]
        self._adam = torch.optim.AdamW(
            [
                {"params": [p for p in others if p.dim() == 5], "weight_decay": WEIGHT_DECAY},
                {"params": [p for p in others if p.dim() != 5], "weight_decay": 0.0},
            ],
            betas=(0.9, 0.97),
            fused=True,
        )
        order = torch.arange(lesson.row_tokens)
        self._causal = order[None] <= order[:, None]
        self._self = torch.eye(lesson.row_tokens, dtype=torch.bool)

    def look(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Image embeddings (B, cells, width) and the loss of the grounding head.

        Behind the cells of a row's picture stand those of its crop, padded to the largest
        of the batch (a long narrow one has a cell more than a picture may have pixels for).
        The crops are of any size, so they go through one by one and are not compiled.
        """
        patches, rows, columns = patchify(torch.from_numpy(batch.arrays["images"]))
        cells = self.model.visual(patches.bfloat16(), *self.model.vision_rotation(rows, columns))
        target = torch.from_numpy(batch.arrays["grounding"])
        losses = [self._grounding(cells, target)]
        most = max((len(truth) for _, _, truth in batch.crops), default=0)
        behind = cells.new_zeros(len(cells), most, cells.shape[-1])
        for row, pixels, truth in batch.crops:
            patches, rows, columns = patchify(torch.from_numpy(pixels.copy())[None])
            crop = self.model.visual(patches.bfloat16(), *self.model.vision_rotation(rows, columns))
            losses.append(self._grounding(crop, torch.from_numpy(truth)[None]))
            behind[row, : crop.shape[1]] = crop[0].to(behind.dtype)
        shares = torch.tensor([float(len(cells)), *[1.0] * len(batch.crops)])
        loss = (torch.stack(losses) * shares).sum() / shares.sum()
        return torch.cat((cells, behind), 1), loss

    def _grounding(self, cells: Tensor, target: Tensor) -> Tensor:
        """Loss of the grounding head, per cell."""
        seen = self.head(cells).float()
        return F.binary_cross_entropy_with_logits(seen, target, reduction="none").sum(-1).mean()

    def _mask(self, segments: Tensor) -> Tensor:
        """(B, 1, T, T): 0 where a token may look, -inf elsewhere."""
        key, query = segments[:, None, :], segments[:, :, None]
        same = (key == packing.PREFIX) | (key == query)
        allowed = (self._causal & same & (key != packing.PADDING)) | self._self
        mask = torch.zeros(allowed.shape, dtype=torch.bfloat16)
        return mask.masked_fill_(~allowed, float("-inf"))[:, None]

    def read(self, batch: Batch, cells: Tensor) -> Scored:
        """Next-token loss on the replies of a text batch."""
        column = {name: torch.from_numpy(value) for name, value in batch.arrays.items()}
        embedded = self.model.model.embed_tokens(column["ids"])
        index = column["cells"]
        picked = index.clamp(min=0)[..., None].expand(-1, -1, cells.shape[-1])
        mixed = torch.where((index >= 0)[..., None], cells.float().gather(1, picked), embedded)
        rotation = self.model.rotation(column["positions"])
        hidden = self.model.model(mixed.bfloat16(), *rotation, self._mask(column["segments"]))
        labelled = column["labels"][:, 1:] != packing.IGNORED
        labels = column["labels"][:, 1:][labelled]
        logits = F.linear(hidden[:, :-1][labelled], self.model.model.embed_tokens.weight).float()
        weights = column["weights"][:, 1:][labelled]
        loss = (F.cross_entropy(logits, labels, reduction="none") * weights).sum() / weights.sum()
        row = torch.arange(len(labelled))[:, None].expand_as(labelled)[labelled]
        return Scored(
            loss=loss,
            right=logits.detach().argmax(-1) == labels,
            content=self._content[labels],
            task=column["tasks"][:, 1:][labelled],
            reply=row * 64 + column["segments"][:, 1:][labelled],
        )

    def losses(self, batch: Batch) -> tuple[Tensor, Scored | None]:
        """Grounding loss of any batch, and the scored replies of a text batch."""
        with torch.autocast("cpu", torch.bfloat16):
            cells, grounding = self.look(batch)
            return grounding, self.read(batch, cells) if "ids" in batch.arrays else None

    def step(self, loss: Tensor, rate: float) -> None:
        """One update of all weights."""
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for p in self._weights if p.grad is not None], 1.0)
        for group in self._adam.param_groups:
            group["lr"] = rate
        self._muon.step(rate)
        self._adam.step()
        self.forget_gradients()

    def forget_gradients(self) -> None:
        """Drop all gradients."""
        for weight in self._weights:
            weight.grad = None


def produce(
    queue: multiprocessing.Queue[Batch],
    generation: str,
    seed: int,
    tokenizer: Path,
    mix: Path | None,
    rows: int,
    grounding_only: bool,
) -> None:
    """The data worker: one process, one thread; it ends when the training was killed."""
    os.nice(2)
    parent = multiprocessing.parent_process()
    for batch in lessons.of(generation).batches(seed, tokenizer, mix, rows, grounding_only):
        while not offered(queue, batch):
            if parent is None or not parent.is_alive():
                queue.cancel_join_thread()  # nobody reads what is still in it
                return


def offered(queue: multiprocessing.Queue[Batch], batch: Batch) -> bool:
    """Put the batch into the queue; False where that stays full for some seconds."""
    try:
        queue.put(batch, timeout=5)
    except Full:
        return False
    return True


def run_stage(learner: Learner, options: argparse.Namespace, stage: Stage, grounding: bool) -> None:
    """Train until the stage's time is over."""
    queue: multiprocessing.Queue[Batch] = multiprocessing.Queue(6)
    source = (
        options.generation,
        options.seed + grounding,
        options.tokenizer / "tokenizer.json",
        options.mix,
        options.rows,
        grounding,
    )
    worker = multiprocessing.Process(target=produce, args=(queue, *source), daemon=True)
    worker.start()
    tasks = lessons.of(options.generation).tasks
    tally, logged_s, saved_s, step, waited_s = Tally(tasks), time.time(), time.time(), 0, 0.0
    while stage.fraction() < 1.0:
        asked_s = time.time()
        batch = queue.get()
        waited_s += time.time() - asked_s
        ground_loss, scored = learner.losses(batch)
        loss = ground_loss
        if scored:
            loss = scored.loss + GROUNDING_WEIGHT * (1 - stage.fraction()) * ground_loss
        rate = stage.rate(step)
        learner.step(loss, rate)
        tally.add(ground_loss.detach(), scored)
        step += 1
        now_s = time.time()
        if now_s - logged_s > LOG_S:
            print(
                f"{dt.datetime.now(dt.UTC):%H:%M:%S} step {step} rate {rate:.5f} "
                f"waited {waited_s:.0f}s {tally}",
                flush=True,
            )
            tally, logged_s = Tally(tasks), now_s
        if not grounding and now_s - saved_s > options.save_every * 60:
            checkpoint.save(learner.model, options.tokenizer, options.out)
            checkpoint.save_head(learner.head, options.out)
            saved_s = now_s
    worker.terminate()


def warm_up(learner: Learner, options: argparse.Namespace) -> None:
    """Compile before the clock starts."""
    began_s = time.time()
    lesson = lessons.of(options.generation)
    tokenizer_file = options.tokenizer / "tokenizer.json"
    batch = next(iter(lesson.batches(0, tokenizer_file, options.mix, options.rows, False)))
    grounding, scored = learner.losses(batch)
    (grounding + (scored.loss if scored else 0.0)).backward()
    learner.forget_gradients()
    print(f"compiled after {time.time() - began_s:.0f}s", flush=True)


def end_time(options: argparse.Namespace) -> float:
    """When training ends, in seconds of `time.time`."""
    if not options.until:
        return float(time.time() + options.minutes * 60)
    hour, minute = map(int, options.until.split(":"))
    now = dt.datetime.now(dt.UTC)
    return float(now.replace(hour=hour, minute=minute, second=0).timestamp())


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="train the tiny model")
    parser.add_argument("--generation", choices=("first", "second"), default="first")
    parser.add_argument("--shape", choices=hub.SHAPES, default="main")
    parser.add_argument("--tokenizer", type=Path, required=True, help="folder of the tokenizer")
    parser.add_argument("--out", type=Path, required=True, help="transformers folder to write")
    parser.add_argument("--init", type=Path, help="transformers folder to start from")
    parser.add_argument("--minutes", type=float, default=65.0, help="after compiling")
    parser.add_argument("--until", help="HH:MM (UTC), instead of --minutes")
    parser.add_argument("--grounding-minutes", type=float, default=7.0)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--level", type=float, default=0.6, help="share of the time at full rate")
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--mix", type=Path, help="JSON file with shares, re-read all the time")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save-every", type=float, default=4.0, help="minutes")
    return parser.parse_args(arguments)


def main() -> None:
    """Run the command line."""
    options = parse()
    torch.set_num_threads(2)
    torch.manual_seed(options.seed)
    torch._dynamo.config.recompile_limit = 32
    model = TinyQwen2VL(hub.SHAPES[options.shape])
    if options.init:
        checkpoint.start_from(model, options.init, options.tokenizer)
    tokenizer_file = options.tokenizer / "tokenizer.json"
    learner = Learner(model, lessons.of(options.generation), tokenizer_file)
    if options.init and checkpoint.load_head(learner.head, options.init):
        print("grounding head taken over", flush=True)
    warm_up(learner, options)
    begin_s, end_s = time.time(), end_time(options)
    text_s = begin_s + options.grounding_minutes * 60
    if options.grounding_minutes > 0:
        run_stage(learner, options, Stage(begin_s, text_s, options.rate, 0.3), grounding=True)
    run_stage(
        learner, options, Stage(text_s, end_s, options.rate, 0.005, options.level), grounding=False
    )
    checkpoint.save(model, options.tokenizer, options.out)
    checkpoint.save_head(learner.head, options.out)
    print(f"done: {options.out}", flush=True)


if __name__ == "__main__":
    main()
