"""The line editor of a chat. The only home of prompt_toolkit.

Law: the terminal is the editor's only while it waits for a line; it is put back before `read`
returns or raises. What was typed is kept between chats in a file of its owner's only, and only
where runs are saved.

The terminal is not asked where its cursor is: a terminal that does not answer would cost a warning
and two seconds, and nothing is drawn that needs it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.data_structures import Size
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.input.defaults import create_input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output import Output
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.shortcuts import CompleteStyle

from qvq_mlx.chat.commands import Verb
from qvq_mlx.core.env import Env
from qvq_mlx.core.image_options import Detail
from qvq_mlx.core.request import ThinkingView
from qvq_mlx.guards.budget import NONE, SIZES
from qvq_mlx.history.files import TYPED
from qvq_mlx.render.type_ahead import TypeAhead
from qvq_mlx.system.files import make_private_folder

_WORDS: dict[Verb, tuple[str, ...]] = {
    Verb.BUDGET: (*SIZES, NONE),
    Verb.DETAIL: tuple(Detail),
    Verb.THINKING: tuple(ThinkingView),
}


class Editor:
    """Reads lines from a person. `models` are offered behind `/model`."""

    def __init__(
        self,
        env: Env,
        folder: Path | None,
        models: Callable[[], Sequence[str]],
        ahead: TypeAhead,
    ) -> None:
        """`folder` None: nothing that is typed is kept. A line begins with what is in `ahead`."""

        def size() -> Size:
            found = env.terminal_size()
            return Size(rows=found.lines, columns=found.columns)

        term = env.environ.get("TERM", "dumb")
        output: Output | None = None  # a dumb terminal gets the library's plain prompt
        if term not in ("", "dumb"):
            output = Vt100_Output(env.stdout, size, term=term, enable_bell=False, enable_cpr=False)
        self._ahead = ahead
        self._session: PromptSession[str] = PromptSession(
            message=[("bold", "> ")],
            prompt_continuation="  ",
            history=_history(folder),
            completer=ChatCompleter(models),
            complete_while_typing=False,
            complete_style=CompleteStyle.READLINE_LIKE,
            enable_suspend=True,
            key_bindings=_keys(),
            input=create_input(env.stdin),
            output=output,
        )

    def read(self) -> str:
        """The next line, or lines. Raises EOFError for Ctrl-D, KeyboardInterrupt for SIGINT."""
        return self._session.prompt(default=self._ahead.begun())


class ChatCompleter(Completer):
    """Commands, and what may stand behind them."""

    def __init__(self, models: Callable[[], Sequence[str]]) -> None:
        self._models = models
        self._paths = PathCompleter(expanduser=True)

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        """Yield completions for the text before the cursor."""
        text = document.text_before_cursor
        if not text.startswith("/"):
            return
        first, space, rest = text.partition(" ")
        if not space:
            yield from _beginning(first, [f"/{verb}" for verb in Verb], final=" ")
            return
        verb = first[1:]
        if verb in (Verb.IMAGE, Verb.SAVE):
            word = rest.rsplit(" ", 1)[-1] if verb == Verb.IMAGE else rest
            yield from self._paths.get_completions(Document(word), complete_event)
        elif verb == Verb.MODEL:
            yield from _beginning(rest, self._models())
        elif verb in _WORDS:
            yield from _beginning(rest, _WORDS[Verb(verb)])


def _beginning(typed: str, words: Sequence[str], final: str = "") -> Iterator[Completion]:
    for word in words:
        if word.startswith(typed):
            yield Completion(word + final, start_position=-len(typed), display=word)


def _keys() -> KeyBindings:
    """Ctrl-C empties the line, Alt-Enter goes on in the next."""
    keys = KeyBindings()

    @keys.add("c-c")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.reset()

    @keys.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return keys


def _history(folder: Path | None) -> History:
    """A file that only its owner can read, made before anything is written to it."""
    if folder is None:
        return InMemoryHistory()
    path = folder / TYPED
    try:
        make_private_folder(folder)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o600)
        os.fchmod(descriptor, 0o600)
        os.close(descriptor)
    except OSError:
        return InMemoryHistory()  # a folder that cannot be written is no reason not to talk
    return FileHistory(str(path))
