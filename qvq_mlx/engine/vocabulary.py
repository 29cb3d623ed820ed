"""The checkpoint's tokenizer, used directly: text to ids without surprises, ids to bytes.

Law: text of the user's never becomes a special token, whatever it spells; the ids of a text depend
on that text alone, not on how the tokenizer was called before it was saved (truncation, padding,
dropout); and every id's bytes are known, so that a stream of ids decodes incrementally and exactly.
A special token is structure and has no bytes, but for those that point at a place in a picture:
they are part of the answer.

Covers the byte-level BPE of the Qwen family (`tokenizer.json`). mlx-vlm's streaming detokenizer
is not used: it holds text back until a token starts with a space, which Chinese and LaTeX
seldom do.
"""

from __future__ import annotations

import codecs
from pathlib import Path

from tokenizers import Tokenizer

from qvq_mlx.core.errors import BrokenModelError
from qvq_mlx.core.remedies import RunProgram
from qvq_mlx.engine import tokenizer_file
from qvq_mlx.pointing.marks import TOKENS
from qvq_mlx.system.reading import read_bytes


class Vocabulary:
    """Ids and bytes. `size` is one more than the largest id that has a token."""

    def __init__(self, path: Path, rows: int = tokenizer_file.MOST_IDS) -> None:
        """`rows` of the model's embedding: no id may be larger. Raises BrokenModelError."""
        try:
            content = read_bytes(path, tokenizer_file.MAX_BYTES)
            tokenizer_file.check(content, _BYTE_OF, rows)
            tokenizer = Tokenizer.from_buffer(content)
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as error:  # a bare Exception, or a panic, which is no Exception
            raise BrokenModelError(
                f"{path} is no tokenizer that can be read: {error}",
                RunProgram(("ls", "-l", str(path.parent))),
            ) from error
        tokenizer.encode_special_tokens = True  # "<|im_end|>" in a question stays text
        tokenizer.no_truncation()
        tokenizer.no_padding()
        if getattr(tokenizer.model, "dropout", None):
            tokenizer.model.dropout = None  # of training: each call would merge otherwise
        self.path = path
        self._tokenizer = tokenizer
        added = tokenizer.get_added_tokens_decoder()
        self._pieces = [b""] * (max(tokenizer.get_vocab().values()) + 1)
        for token, token_id in tokenizer.get_vocab().items():
            if token_id not in added:
                self._pieces[token_id] = bytes(_BYTE_OF[character] for character in token)
        for token_id, entry in added.items():
            # a special token is structure, not text; others (`</think>`) are shown
            is_text = not entry.special or entry.content in TOKENS
            self._pieces[token_id] = entry.content.encode() if is_text else b""

    @property
    def size(self) -> int:
        """Ids from here on are padding rows of the embedding and must not be drawn."""
        return len(self._pieces)

    @property
    def pieces(self) -> list[bytes]:
        """The bytes of every id."""
        return self._pieces

    def encode(self, text: str) -> list[int]:
        """The ids of `text`, with nothing added."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def special(self, token: str) -> int:
        """The id of a special token. Raises BrokenModelError where the tokenizer lacks it."""
        token_id = self._tokenizer.token_to_id(token)
        if token_id is None:
            raise BrokenModelError(f"the tokenizer of this model has no {token} token")
        return int(token_id)

    def piece(self, token_id: int) -> bytes:
        """The bytes that `token_id` stands for; none for a special token that is no text."""
        return self._pieces[token_id]


class Detokenizer:
    """Ids in, text out, never later than the last byte of a character."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def feed(self, token_id: int) -> str:
        """The characters that this id completes; possibly none."""
        return self._decoder.decode(self._vocabulary.piece(token_id))

    def close(self) -> str:
        """U+FFFD where the ids ended within a character, else nothing."""
        return self._decoder.decode(b"", final=True)


def _byte_table() -> dict[str, int]:
    """GPT-2's printable stand-ins for the 256 bytes, as every byte-level BPE uses them.

    Bytes that print stand for themselves; the others follow from U+0100 on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {chr(byte): byte for byte in printable}
    others = (byte for byte in range(256) if byte not in set(printable))
    return table | {chr(0x100 + offset): byte for offset, byte in enumerate(others)}


_BYTE_OF = _byte_table()
