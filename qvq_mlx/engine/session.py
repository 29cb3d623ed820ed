"""A loaded checkpoint that answers prompts: the engine behind `core.env.Engine`.

Law: one thread loads and generates; arrays that mlx read lazily in one thread cannot be evaluated
in another. A run leaves nothing behind on the session but prefixes that are kept by content: the
next run equals a cold one, whatever became of this one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import mlx.core as mx

from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.clip import FRAMES_PER_STEP, Visual
from qvq_mlx.core.errors import BrokenModelError, HostGoneError, UsageError
from qvq_mlx.core.events import Notice, Progress, StopReason
from qvq_mlx.core.remedies import AskAgain, Field, RunProgram
from qvq_mlx.core.rounds import Round
from qvq_mlx.core.setup import Checkpoint, Drafting, Setup
from qvq_mlx.core.tokens import (
    Asked,
    Continuation,
    Control,
    Effort,
    Finished,
    Generation,
    Peaks,
    Prompt,
    Step,
)
from qvq_mlx.engine.adapter import Model, load_model
from qvq_mlx.engine.architecture import read_architecture
from qvq_mlx.engine.cache_files import KeptFiles, prefixes_in
from qvq_mlx.engine.costs import CostBook
from qvq_mlx.engine.decode import decode
from qvq_mlx.engine.drafting import Drafts, worth_loading
from qvq_mlx.engine.patches import read_layout
from qvq_mlx.engine.prefill import Parts, Reader, Written
from qvq_mlx.engine.prefix import fingerprint
from qvq_mlx.engine.prompt import TURN_END, Spelling, build, extended
from qvq_mlx.engine.row import Ending, Row, Start
from qvq_mlx.engine.soundness import UnsoundLogitsError
from qvq_mlx.engine.speculation import Speculation
from qvq_mlx.engine.vocabulary import Vocabulary
from qvq_mlx.engine.weights import head_names
from qvq_mlx.families.family import PatchLayout

if TYPE_CHECKING:
    from qvq_mlx.engine.led import Others
    from qvq_mlx.engine.mtp import MTPHead


class Session:
    """A checkpoint that reads prompts, and who drafts for it."""

    def __init__(self, reader: Reader, drafts: Drafts) -> None:
        self.reader = reader
        self._drafts = drafts

    @property
    def parts(self) -> Parts:
        """The checkpoint."""
        return self.reader.parts

    def in_chunks_of(self, tokens: int) -> Session:
        """The same model, prefilled in other chunks: the text must not change."""
        return Session(self.reader.in_chunks_of(tokens), self._drafts)

    def drafted_by(self, drafts: Drafts) -> Session:
        """The same model with another drafter: the text must not change."""
        return Session(self.reader, drafts)

    def under(self, setup: Setup) -> Session:
        """The same weights, drafted for and cached as `setup` says, with nothing kept yet."""
        reader = Reader(self.parts, self.parts.model.prefixes(_files(setup)))
        return Session(reader, self._drafts.under(setup))

    def prompt(
        self,
        question: str,
        pictures: Sequence[Visual],
        system: str | None,
        rounds: Sequence[Round] = (),
        *,
        labelled: bool = True,
        inline: bool = False,
        thinks: bool = True,
    ) -> Prompt:
        """Earlier rounds, then the images, then the question."""
        spelling = self._spelling(labelled=labelled, inline=inline, thinks=thinks)
        return build(self.parts.vocabulary, question, pictures, system, rounds, spelling)

    def extended(
        self,
        prompt: Prompt,
        written: Sequence[int],
        text: str,
        pictures: Sequence[Visual] = (),
        *,
        thinks: bool = True,
    ) -> Prompt:
        """`prompt`, what was `written` after it, and a next message about further pictures."""
        parts = self.parts
        said, spelling = parts.as_text(written), self._spelling(thinks=thinks)
        return extended(parts.vocabulary, prompt, said, text, pictures, spelling)

    def _spelling(
        self, *, labelled: bool = True, inline: bool = False, thinks: bool = True
    ) -> Spelling:
        parts = self.parts
        vision = parts.model.family.vision
        timestamps = vision is not None and vision.timestamps
        opened = (parts.thinking if thinks else parts.thinking.switched_off).opened
        return Spelling(opened, timestamps, labelled, inline)

    def generate(self, prompt: Prompt, generation: Generation, control: Control) -> Iterator[Step]:
        """Encode, prefill, decode. The last item is `Finished`, also after a stop."""
        return self.generate_rows(prompt, [(generation, control)])

    def generate_rows(
        self, prompt: Prompt, ways: Sequence[tuple[Generation, Control]]
    ) -> Iterator[Step]:
        """Several ways to go on from one prefill, in step; each row as if it ran alone.

        Tokens carry their row; at the end comes one `Finished` per row, in order. The first
        control also stops encode and prefill. Several rows are not drafted for. Raises
        DoesNotFitError where the memory ends.
        """
        with self._memory_watched():
            yield from self._generated(prompt, ways)

    def generate_each(
        self, asked: Iterator[Asked], most: int, beyond: float | None = None
    ) -> Iterator[tuple[int, Step]]:
        """See `Engine`. A prompt is read a chunk at a time, between two passes of the others.

        Nothing is drafted. Raises DoesNotFitError where the memory ends.
        """
        from qvq_mlx.engine.flight import Flight  # a single question flies alone

        with self._memory_watched():
            yield from Flight(self, asked, most, beyond).steps()

    @contextlib.contextmanager
    def _memory_watched(self) -> Iterator[None]:
        """Tell the end of the memory from other errors of mlx."""
        try:
            yield
        except (RuntimeError, ValueError, MemoryError) as error:
            from qvq_mlx.engine.out_of_memory import raise_for_memory

            raise_for_memory(self.parts.name, error)
            if "[ring]" in str(error):
                raise HostGoneError("another machine of the model ended") from None
            raise

    def _generated(
        self, prompt: Prompt, ways: Sequence[tuple[Generation, Control]]
    ) -> Iterator[Step]:
        mx.reset_peak_memory()
        continuation = ways[0][0].continuation
        watched = len(ways) == 1 and self._drafts.watches(self.parts)
        start = yield from self.reader.read(
            prompt, ways[0][1], _taken(continuation), watched=watched
        )
        if start is None:
            for generation, _ in ways:
                yield self.unread(prompt, generation)
            return
        starts = [start, *(start.copy() for _ in ways[1:])]
        rows = [
            self.row(one, *way, number)
            for number, (one, way) in enumerate(zip(starts, ways, strict=True))
        ]
        speculation = Speculation()
        if len(rows) == 1:
            speculation = yield from self._drafts.speculation(self.parts, start, prompt, *ways[0])
        try:
            for step in decode(rows, speculation):
                if not isinstance(step, Row):
                    yield step
        except UnsoundLogitsError:
            raise self.parts.model.unsound() from None
        self._drafts.remember(self.parts, speculation, rows[0].written)
        start.sequence.trace = None
        whole = start.sequence.length == len(rows[0].sequence)  # its last token was run, too
        alone = len(rows) == 1 and ways[0][0].kv_bits is None
        if continuation is not None and alone and whole:
            continuation.kept = self._kept(start, rows[0], prompt)
        for row in rows:
            effort = speculation.effort if len(rows) == 1 else Effort(passes=row.passes)
            yield self.finished(prompt, row, effort)

    def row(self, start: Start, generation: Generation, control: Control, number: int) -> Row:
        """Return a row that goes on from `start`, whose sequence is its own from here on."""
        if generation.kv_bits is not None:
            start.sequence.quantise(generation.kv_bits)
        return Row(start, self.parts.vocabulary, self.parts.stop_ids, generation, control, number)

    def unread(self, prompt: Prompt, generation: Generation) -> Finished:
        """Return the end of a question that was stopped before its prompt was read."""
        constraint = generation.constraint
        schema_met = False if constraint is not None and constraint.schema else None
        return self._finished(prompt, None, Ending(StopReason.INTERRUPT), Effort(), schema_met)

    def finished(self, prompt: Prompt, row: Row, effort: Effort) -> Finished:
        """Return the end of a row that has its ending."""
        assert row.ending is not None
        return self._finished(prompt, row.start, row.ending, effort, row.held.schema_met)

    def _kept(self, start: Start, row: Row, prompt: Prompt) -> Written:
        """Keep the sequence that a next turn of the run goes on from."""
        ids = (*prompt.ids, *self.parts.as_text(row.sequence[len(prompt.ids) :]))
        behind = len(start.ids) - 1 - start.position  # images make positions fall behind indices
        return Written(start.sequence, ids, prompt.pictures, len(ids) - behind)

    def _finished(
        self,
        prompt: Prompt,
        start: Start | None,
        ending: Ending,
        effort: Effort,
        schema_met: bool | None,
    ) -> Finished:
        return Finished(
            stop_reason=ending.stop_reason,
            tail=ending.tail,
            prompt_tokens=len(prompt.ids),
            image_tokens=sum(picture.tokens for picture in prompt.pictures),
            peak_memory_bytes=max(
                mx.get_peak_memory(),
                start.encode_peak_bytes if start is not None else 0,
                start.prefill_peak_bytes if start is not None else 0,
            ),
            concluded=ending.concluded,
            schema_met=schema_met,
            cached_tokens=start.cached_tokens if start is not None else 0,
            peaks=Peaks(
                load_bytes=self.parts.load_peak_bytes,
                encode_bytes=start.encode_peak_bytes if start is not None else 0,
                prefill_bytes=start.prefill_peak_bytes if start is not None else 0,
            ),
            effort=effort,
            cached_images=start.cached_images if start is not None else 0,
        )


def _taken(continuation: Continuation | None) -> Written | None:
    """Take the sequence that a run kept, if there is one: it is extended once."""
    if continuation is None:
        return None
    kept, continuation.kept = continuation.kept, None
    return kept if isinstance(kept, Written) else None


def load_session(
    checkpoint: Checkpoint,
    setup: Setup,
    control: Control,
    others: Others | None = None,
) -> Generator[Progress | Notice, None, Session | None]:
    """The checkpoint and its draft model, if it has one. None where `control` stopped it.

    What an engine that was let go of had in memory goes back to the system first. With `others`
    they have a part of its layers (engine/led.py).
    """
    mx.clear_cache()
    if setup.drafting is Drafting.MTP:
        _check_has_head(checkpoint)
    reader = yield from _load_reader(checkpoint, setup, control, others)
    if reader is None:
        return None
    book = CostBook(setup.cache_folder)
    draft: Reader | None = None
    if setup.draft_model is not None and _drafts(reader.parts, setup.draft_model, setup, book):
        draft = yield from _load_reader(setup.draft_model, setup, control)
        if draft is None:
            return None
        _check_reads_alike(reader.parts, draft.parts)
    head = yield from _head(reader.parts, setup)
    return Session(reader, Drafts(setup.drafting, draft, book, setup.draft_tokens, head))


def _head(parts: Parts, setup: Setup) -> Generator[Notice, None, MTPHead | None]:
    """The MTP head, where it may draft.

    A damaged one is said; where it was asked for by name, BrokenModelError is raised.
    """
    if setup.drafting not in (Drafting.AUTO, Drafting.MTP):
        return None
    try:
        return parts.model.read_head()
    except BrokenModelError as error:
        if setup.drafting is Drafting.MTP:
            raise
        yield Notice("draft-head", f"no MTP head drafts: {error.message}")
        return None


def _drafts(target: Parts, draft: Checkpoint, setup: Setup, book: CostBook) -> bool:
    """True if a draft model is to be loaded: where it is asked for, or may pay."""
    if setup.drafting is not Drafting.AUTO:
        return setup.drafting is Drafting.MODEL
    return worth_loading(book, target.fingerprint, fingerprint(draft.folder), draft.card.name)


def _check_has_head(checkpoint: Checkpoint) -> None:
    """Raises UsageError where the files hold no MTP head: many conversions leave it out, and
    config.json speaks of it all the same.
    """
    family = read_architecture(checkpoint.folder).family
    try:
        names = head_names(checkpoint.folder, family)
    except (RuntimeError, ValueError, OSError):
        return  # files that do not load: the loader says which
    if names:
        return
    raise UsageError(
        f"{checkpoint.card.name} has no MTP head to draft with: its files hold no `mtp.` weights",
        AskAgain(((Field.DRAFT, Drafting.LOOKUP),)),
    )


def _load_reader(
    checkpoint: Checkpoint,
    setup: Setup,
    control: Control,
    others: Others | None = None,
) -> Generator[Progress, None, Reader | None]:
    """Weights, tokenizer and image layout of one checkpoint."""
    card, folder = checkpoint.card, checkpoint.folder
    mx.reset_peak_memory()
    model = yield from load_model(folder, control, others)
    if model is None:
        return None
    vocabulary = Vocabulary(folder / "tokenizer.json", model.vocab_size)
    parts = Parts(
        name=card.name,
        model=model,
        vocabulary=vocabulary,
        layout=_layout(model, vocabulary, card, folder),
        fingerprint=fingerprint(folder),
        stop_ids=_stop_ids(model, vocabulary),
        thinking=card.thinking,
        load_peak_bytes=mx.get_peak_memory(),
    )
    return Reader(parts, model.prefixes(_files(setup)))


def _files(setup: Setup) -> KeptFiles | None:
    """Return the prefixes on disk; None where none may be kept."""
    if setup.cache_folder is None or not setup.cache_max_bytes:
        return None
    return prefixes_in(setup.cache_folder, setup.cache_max_bytes)


def _stop_ids(model: Model, vocabulary: Vocabulary) -> frozenset[int]:
    """What the files name, and the end of a turn as prompts spell it: a model that is shown
    `<|im_end|>` after every turn ends its own with it, whatever its files say.
    """
    named = {token_id for token_id in model.eos_ids if token_id < vocabulary.size}
    return frozenset({*named, vocabulary.special(TURN_END)})


def _layout(model: Model, vocabulary: Vocabulary, card: ModelCard, folder: Path) -> PatchLayout:
    """The image layout; the card and the tokenizer have to agree with it."""
    if model.layout is None:
        return PatchLayout()  # no picture comes here
    layout = read_layout(folder, model.layout)
    if layout.factor_px != card.vision.factor_px:
        raise BrokenModelError(
            f"{folder} has image tokens of {layout.factor_px} px, "
            f"and the card {card.name} says {card.vision.factor_px} px"
        )
    if card.vision.video and layout.temporal != FRAMES_PER_STEP:
        raise BrokenModelError(f"{folder} says {layout.temporal} frames to a step, not 2")
    for kind, stated in (("image", model.image_token_id), ("video", model.video_token_id)):
        if kind == "video" and not card.vision.video:
            continue
        if vocabulary.special(f"<|{kind}_pad|>") != stated:
            raise BrokenModelError(
                f"{folder}: config.json says that {kind} tokens are {stated}, and in"
                f" tokenizer.json they are {vocabulary.special(f'<|{kind}_pad|>')}",
                RunProgram(("ls", "-l", str(folder))),
            )
    return layout


def _check_reads_alike(target: Parts, draft: Parts) -> None:
    """A draft is a list of ids: they must mean the same to both. Padding rows may differ.

    Raises UsageError.
    """
    ours, theirs = target.model.family.vision, draft.model.family.vision
    if target.vocabulary.pieces != draft.vocabulary.pieces:
        reason = "their tokenizers differ"
    elif ours and theirs and ours.timestamps is not theirs.timestamps:
        reason = "their prompts spell the time in a clip differently"
    else:
        return
    raise UsageError(
        f"{draft.name} cannot draft for {target.name}: {reason}",
        AskAgain(((Field.DRAFT, Drafting.LOOKUP),)),
    )
