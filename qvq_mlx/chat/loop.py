"""The loop of a chat: a line is read, obeyed or asked, until the person leaves.

Law: whatever a line leads to, an error or an interrupted answer, the chat goes on; the model is let
go of at the end. SIGTERM and SIGHUP end the process once the terminal is put back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal

from qvq_mlx import history
from qvq_mlx.chat.commands import Command, Question, Verb, help_lines, parse
from qvq_mlx.chat.conversation import Conversation, Ear
from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import ExitCode, InputError, QvqError, StoppedError, UsageError
from qvq_mlx.core.image_names import is_image, on_disk
from qvq_mlx.core.image_options import parse_detail
from qvq_mlx.core.plan import Plan
from qvq_mlx.core.remedies import Typed
from qvq_mlx.core.request import Output, Request, ThinkingView
from qvq_mlx.guards.budget import parse_budget
from qvq_mlx.images import ImageSources
from qvq_mlx.memory.lock import BigModelLock
from qvq_mlx.render.clean import clean_line, writable
from qvq_mlx.render.rows import wrap
from qvq_mlx.render.type_ahead import TypeAhead
from qvq_mlx.run.ending import notifying
from qvq_mlx.run.plan import image_sources_for
from qvq_mlx.run.resident import ResidentModel
from qvq_mlx.run.show import run
from qvq_mlx.run.signals import stoppable
from qvq_mlx.settings.config import Settings
from qvq_mlx.store import registry
from qvq_mlx.store.inventory import is_here

_Setting = Literal[Verb.MODEL, Verb.BUDGET, Verb.DETAIL, Verb.THINKING]


class Talk:
    """A chat on a terminal: lines in, rounds out."""

    def __init__(self, env: Env, settings: Settings, base: Request, output: Output) -> None:
        self._env = env
        self._settings = settings
        self._output = output
        if base.policy.host is not None and not base.model:
            from qvq_mlx.run.at_host import card_at

            base = replace(base, model=card_at("", base, settings).name)
        self._conversation = Conversation(base)
        self._base = base
        self._ahead = TypeAhead(kept=True)
        self._keeps = settings.keeps(base.policy)
        self._loaded = ResidentModel(
            env.load_engine,
            BigModelLock(settings.cache_folder, env.sleep),
            settings.cache_folder if env.hostfile is None else None,
        )

    def begin(self, images: list[str]) -> None:
        """Look at the first images. Raises a QvqError where one of them, or the model, is none."""
        card = self._card(self._conversation.model)
        for name in images:
            self._conversation.show(name, self._desk(), card)

    def run(self) -> int:
        """Talk with the line editor, on the terminal."""
        from qvq_mlx.chat.editor import Editor  # not before it is used: prompt_toolkit is slow

        folder = self._settings.history_folder if self._keeps else None
        editor = Editor(self._env, folder, self._models, self._ahead)
        self._say(f"{self._conversation.model} · /help lists the commands, Ctrl-D leaves")
        return self.talk(editor.read)

    def talk(self, read: Callable[[], str]) -> int:
        """Line after line from `read`, until it raises EOFError (Ctrl-D), or /quit."""
        try:
            while self._line(read):
                pass
        except EOFError:
            pass
        finally:
            self._loaded.close()
        return ExitCode.OK

    def _line(self, read: Callable[[], str]) -> bool:
        """One line of the person's, and what comes of it. False where it was the last."""
        try:
            match parse(self._typed(read), _is_image):
                case Question(text=text, pictures=pictures):
                    self._show(pictures)
                    self._ask(self._conversation.request(text))
                case Command(verb=Verb.QUIT):
                    return False
                case Command() as command:
                    self._obey(command)
                case None:
                    pass
        except QvqError as error:
            self._ahead.hold()  # it was typed before the person knew of this
            self._complain(error)
        except KeyboardInterrupt:
            pass  # whatever it was, it has ended, and the chat goes on
        return True

    def _typed(self, read: Callable[[], str]) -> str:
        """A line; SIGTERM and SIGHUP end the process once the terminal is put back."""
        with stoppable("what was typed is dropped", None):
            if (line := self._ahead.next_line()) is not None:
                self._say(f"> {line}")
                return line
            return read()

    def _ask(self, request: Request) -> None:
        """One round. Raises a QvqError where there is no whole answer."""
        ear = Ear()
        try:
            with notifying(self._env, self._settings, "the answer"):
                run(
                    request,
                    self._output,
                    self._env,
                    self._settings,
                    self._loaded,
                    ear,
                    self._ahead,
                )
        finally:
            self._conversation.heard(ear, self._run_id(ear.plan))
        self._say("")

    def _run_id(self, plan: Plan | None) -> str | None:
        """Return the id of the run that has just been saved; None where it was not saved."""
        if plan is None or not self._keeps:
            return None
        with suppress(InputError):
            latest = history.last(self._settings.history_folder)
            asked = (latest.request.question, latest.request.sources)
            return latest.id if asked == (plan.request.question, plan.sources) else None
        return None

    def _obey(self, command: Command) -> None:
        """Every command but those that end the chat. Raises a QvqError."""
        talk, first = self._conversation, next(iter(command.words), "")
        match command.verb:
            case Verb.IMAGE:
                self._show(command.words)
                for name in command.words:
                    self._say(f"{name} is shown with the next question")
            case Verb.RETRY:
                self._ask(talk.retry(self._card(talk.model)))
            case Verb.SAVE:
                talk.save(Path(first))
                self._say(f"written to {first}")
            case Verb.CLEAR:
                talk.clear()
                self._say("forgotten: what was asked and shown")
            case Verb.HELP:
                for line in help_lines():
                    self._say(line)
            case Verb.MODEL | Verb.BUDGET | Verb.DETAIL | Verb.THINKING:
                self._set(command.verb, first)
            case Verb.QUIT:
                pass  # it was read before

    def _show(self, names: Sequence[str]) -> None:
        """Images, with the next question. Raises a QvqError."""
        for name in names:
            self._conversation.show(name, self._desk(), self._card(self._conversation.model))

    def _set(self, verb: _Setting, word: str) -> None:
        """Change a setting for the questions that follow; without a value, show it."""
        talk = self._conversation
        match verb:
            case Verb.MODEL:
                if word:
                    self._card(word)
                    talk.use(word)
                self._say(f"model: {talk.model}")
            case Verb.BUDGET:
                if word:
                    talk.bound(parse_budget(word))
                self._say(f"budget: {talk.budget}")
            case Verb.DETAIL:
                if word:
                    talk.read_at(parse_detail(word))
                self._say(f"detail: {talk.detail}")
            case Verb.THINKING:
                if word:
                    self._output = replace(self._output, view=parse_view(word))
                self._say(f"thinking: {self._output.view or ThinkingView.TAIL}")

    def _card(self, model: str) -> ModelCard:
        """Raises a ModelError where `model` cannot be asked."""
        settings = self._settings
        if self._base.policy.host is not None:
            from qvq_mlx.run.at_host import card_at

            return card_at(model, self._base, settings)
        return registry.resolve(model, settings.hub_cache, settings.cards_folder)[0]

    def _desk(self) -> ImageSources:
        """A new one for every image: a desk remembers, and the clipboard changes."""
        return image_sources_for(self._base, self._env, self._settings)

    def _models(self) -> list[str]:
        """The names of the models that are on this disk, or that the host serves."""
        settings = self._settings
        if self._base.policy.host is not None:
            from qvq_mlx.run.at_host import names_at

            return names_at(self._base, settings)
        known = registry.cards(settings.cards_folder)
        return [card.name for card in known if is_here(card, settings.hub_cache)]

    def _say(self, line: str) -> None:
        stdout = self._env.stdout
        rows = wrap(clean_line(line), self._env.terminal_size().columns) or [""]
        stdout.write("".join(f"{writable(row, stdout)}\n" for row in rows))
        stdout.flush()

    def _complain(self, error: QvqError) -> None:
        """One line: the hint of a command line is of no use here."""
        label = "" if isinstance(error, StoppedError) else f"error[{error.code}]: "
        self._say(label + self._env.spelling.sentence(error.parts))


def parse_view(word: str) -> ThinkingView:
    """A view of the thinking by name. Raises UsageError."""
    try:
        return ThinkingView(word.lower())
    except ValueError:
        known = ", ".join(ThinkingView)
        raise UsageError(f"/thinking is {word!r}; it can be {known}", Typed("/help")) from None


def _is_image(word: str) -> bool:
    """`-` is none, stdin is where the person types; and `/imag` is rather a misspelt command."""
    if word.startswith("/") and word.count("/") == 1:
        return on_disk(word)
    return word != "-" and is_image(word, on_disk)
