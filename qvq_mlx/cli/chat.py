"""`qvq chat`: questions and answers about images, with the model loaded once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qvq_mlx.cli import options
from qvq_mlx.core.errors import ExitCode, InputError, QvqError, StoppedError, UsageError
from qvq_mlx.core.request import Output, Request, ThinkingView

if TYPE_CHECKING:
    from qvq_mlx.chat.commands import Command, Verb
    from qvq_mlx.core.card import ModelCard
    from qvq_mlx.core.env import Env
    from qvq_mlx.core.plan import Plan
    from qvq_mlx.images import ImageSources
    from qvq_mlx.settings.config import Settings


# One parameter per option: typer reads the command line off this signature.
def chat(
    context: typer.Context,
    images: Annotated[list[str] | None, typer.Argument(metavar="[IMAGE]...", hidden=True)] = None,
    model: options.Model = None,
    system: options.System = None,
    budget: options.BudgetText = None,
    max_tokens: options.MaxTokens = None,
    detail: options.Detail = None,
    thinking: options.ViewOfThinking = None,
    draft: options.Draft = "auto",
    no_cache: options.NoCache = False,
    no_save: options.NoSave = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="A line per stage.")] = False,
    force: options.Force = False,
    no_wait: options.NoWait = False,
    offline: options.Offline = False,
) -> int:
    """Talk about images: one question after the other, with the model loaded once.

    Needs a terminal. /help lists the commands there, /image adds an image, Ctrl-C stops an
    answer, Ctrl-D leaves. Every question is saved as a run of its own.
    """
    from qvq_mlx.cli.choose import model_for
    from qvq_mlx.core.image_options import Detail, ImageOptions, parse_detail
    from qvq_mlx.guards.budget import parse_budget
    from qvq_mlx.settings import config  # not before: `qvq --help` reads this module

    env: Env = context.obj
    if not (env.stdin.isatty() and env.stdout.isatty()):
        raise UsageError(
            "qvq chat needs a terminal on stdin and stdout", 'qvq ask IMAGE "question"'
        )
    settings = config.read(env)
    if no_save:
        settings = replace(settings, save=False)
    if offline or settings.offline:
        env.forbid_network()
    base = Request(
        question="",
        images=(),
        model=model_for(env, settings, model),
        system=system,
        max_tokens=max_tokens,
        budget=None if budget is None else parse_budget(budget),
        draft=draft,
        use_cache=not no_cache,
        force=force,
        wait=not no_wait,
        looks=(ImageOptions(detail=Detail.AUTO if detail is None else parse_detail(detail)),),
        offline=offline,
    )
    output = Output(view=thinking or settings.view, verbose=verbose)
    talk = Talk(env, settings, base, output)
    talk.begin(images or [])
    return talk.run()


class Talk:
    """A chat on a terminal: lines in, rounds out."""

    def __init__(self, env: Env, settings: Settings, base: Request, output: Output) -> None:
        from qvq_mlx.chat.conversation import Conversation
        from qvq_mlx.memory.lock import BigModelLock
        from qvq_mlx.run.resident import ResidentModel

        self._env = env
        self._settings = settings
        self._output = output
        self._conversation = Conversation(base)
        self._base = base
        self._loaded = ResidentModel(
            env.load_engine, BigModelLock(settings.cache_folder, env.sleep)
        )

    def begin(self, images: list[str]) -> None:
        """Look at the first images. Raises a QvqError where one of them, or the model, is none."""
        card = self._card(self._conversation.model)
        for name in images:
            self._conversation.show(name, self._desk(), card)

    def run(self) -> int:
        """With the line editor, on the terminal."""
        from qvq_mlx.chat.editor import Editor

        folder = self._settings.history_folder if self._settings.save else None
        editor = Editor(self._env, folder, self._models)
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
        from qvq_mlx.chat.commands import Command, Question, Verb, parse

        try:
            match parse(self._typed(read), _is_image):
                case Question(text=text):
                    self._ask(self._conversation.request(text))
                case Command(verb=Verb.QUIT):
                    return False
                case Command() as command:
                    self._obey(command)
                case None:
                    pass
        except QvqError as error:
            self._complain(error)
        except KeyboardInterrupt:
            pass  # whatever it was, it has ended, and the chat goes on
        return True

    def _typed(self, read: Callable[[], str]) -> str:
        """A line; SIGTERM and SIGHUP end the process once the terminal is put back."""
        from qvq_mlx.run.signals import stoppable

        with stoppable("what was typed is dropped", ""):
            return read()

    def _ask(self, request: Request) -> None:
        """One round. Raises a QvqError where there is no whole answer."""
        from qvq_mlx.chat.conversation import Ear
        from qvq_mlx.cli.run import run

        ear = Ear()
        try:
            run(request, self._output, self._env, self._settings, self._loaded, ear)
        finally:
            self._conversation.heard(ear, self._run_id(ear.plan))
        self._say("")

    def _run_id(self, plan: Plan | None) -> str | None:
        """What the round that has just ended was saved as; None where it was not."""
        from qvq_mlx import history

        if plan is None or not self._settings.save:
            return None
        with suppress(InputError):
            run = history.last(self._settings.history_folder)
            asked = (run.request.question, run.request.sources)
            return run.id if asked == (plan.question, plan.sources) else None
        return None

    def _obey(self, command: Command) -> None:
        """Every command but those that end the chat. Raises a QvqError."""
        from qvq_mlx.chat.commands import Verb, help_lines

        talk, first = self._conversation, next(iter(command.words), "")
        match command.verb:
            case Verb.IMAGE:
                for name in command.words:
                    talk.show(name, self._desk(), self._card(talk.model))
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
            case _:
                self._set(command.verb, first)

    def _set(self, verb: Verb, word: str) -> None:
        """What holds from the next question on; without a word it is only told."""
        from qvq_mlx.chat.commands import Verb
        from qvq_mlx.core.image_options import parse_detail
        from qvq_mlx.guards.budget import parse_budget

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
                    talk.look(parse_detail(word))
                self._say(f"detail: {talk.detail}")
            case _:
                if word:
                    self._output = replace(self._output, view=parse_view(word))
                self._say(f"thinking: {self._output.view or ThinkingView.TAIL}")

    def _card(self, model: str) -> ModelCard:
        """Raises a ModelError where `model` cannot be asked."""
        from qvq_mlx.store import registry

        settings = self._settings
        return registry.resolve(model, settings.hub_cache, settings.cards_folder)[0]

    def _desk(self) -> ImageSources:
        """A new one for every image: a desk remembers, and the clipboard changes."""
        from qvq_mlx.run.plan import image_sources_for

        return image_sources_for(self._base, self._env, self._settings)

    def _models(self) -> list[str]:
        """The names of the models that are on this disk."""
        from qvq_mlx.store import registry
        from qvq_mlx.store.inventory import is_here

        settings = self._settings
        known = registry.cards(settings.cards_folder)
        return [card.name for card in known if is_here(card, settings.hub_cache)]

    def _say(self, line: str) -> None:
        from qvq_mlx.render.clean import clean_line, writable
        from qvq_mlx.render.rows import wrap

        stdout = self._env.stdout
        rows = wrap(clean_line(line), self._env.terminal_size().columns) or [""]
        stdout.write("".join(f"{writable(row, stdout)}\n" for row in rows))
        stdout.flush()

    def _complain(self, error: QvqError) -> None:
        """One line: the hint of a command line is of no use here."""
        label = "" if isinstance(error, StoppedError) else f"error[{error.code}]: "
        self._say(label + error.message)


def parse_view(word: str) -> ThinkingView:
    """A view of the thinking by name. Raises UsageError."""
    try:
        return ThinkingView(word.lower())
    except ValueError:
        known = ", ".join(ThinkingView)
        raise UsageError(f"/thinking is {word!r}; it can be {known}", "/help") from None


def _is_image(word: str) -> bool:
    """`-` is none, stdin is where the person types; and `/imag` is rather a misspelt command."""
    from qvq_mlx.cli.arguments import is_image, on_disk

    if word.startswith("/") and word.count("/") == 1:
        return on_disk(word)
    return word != "-" and is_image(word, on_disk)
