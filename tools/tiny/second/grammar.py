"""A wording is a path through a grammar; standard library only.

    [a|b]      one of the alternatives; an empty one is allowed
    [~a|b]     `a` is a held-out branch: training never takes it, and what is below it never occurs
    <name>     a rule of the grammar
    {x}        left for the caller to fill in

Law: training takes no held-out branch; a held-out wording takes at least one. So whole families of
wordings are unknown to the model when it is measured, and not single sentences only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

_MARKS = "[|]<"


@dataclass(frozen=True, slots=True)
class Literal:
    """A text that is written as it stands."""

    text: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A name that stands for a part of the grammar."""

    name: str


@dataclass(frozen=True, slots=True)
class Branch:
    """One alternative."""

    parts: tuple[Part, ...]
    held_out: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """Alternatives of which one is taken."""

    branches: tuple[Branch, ...]


Part = Literal | Rule | Choice


@dataclass(frozen=True, slots=True)
class Wording:
    """A sentence of the grammar; `first` is the number of the first alternative that was taken."""

    text: str
    held_out: bool
    first: int


class _Reader:
    """Reads the notation above."""

    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0

    def branches(self, closing: str) -> tuple[Branch, ...]:
        """Alternatives up to `closing`, which is read too; "" is the end of the text."""
        found = [self._branch()]
        while self._peek() == "|":
            self._at += 1
            found.append(self._branch())
        if self._peek() != closing:
            raise ValueError(f"{closing or 'the end'} is missing at {self._at}: {self._text!r}")
        self._at += 1
        return tuple(found)

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _branch(self) -> Branch:
        held_out = self._peek() == "~"
        self._at += held_out
        parts: list[Part] = []
        while self._peek() not in ("", "|", "]"):
            parts.append(self._part())
        return Branch(tuple(parts), held_out)

    def _part(self) -> Part:
        if self._peek() == "[":
            self._at += 1
            return Choice(self.branches("]"))
        if self._peek() == "<":
            end = self._text.index(">", self._at)
            name, self._at = self._text[self._at + 1 : end], end + 1
            return Rule(name)
        begin = self._at
        while self._peek() and self._peek() not in _MARKS:
            self._at += 1
        return Literal(self._text[begin : self._at])


class Grammar:
    """Rules by name."""

    def __init__(self, rules: Mapping[str, str]) -> None:
        flat = {name: " ".join(text.split()) for name, text in rules.items()}
        self._rules = {name: Choice(_Reader(text).branches("")) for name, text in flat.items()}

    def wording(self, rng: Random, rule: str, held_out: bool = False) -> Wording:
        """A sentence of `rule`; with a held-out branch in it if asked for, without one if not."""
        while True:
            walk = _Walk(self._rules, rng, held_out)
            text = " ".join(walk.text(self._rules[rule]).split())
            for sign in ",.?:;!":
                text = text.replace(f" {sign}", sign)
            if walk.took_held_out == held_out:
                return Wording(text, held_out, walk.first or 0)

    def count(self, rule: str) -> int:
        """How many paths lead through `rule`, held-out ones included."""
        return self._paths(self._rules[rule])

    def _paths(self, part: Part) -> int:
        match part:
            case Literal():
                return 1
            case Rule(name=name):
                return self.count(name)
            case Choice(branches=branches):
                total = 0
                for branch in branches:
                    product = 1
                    for below in branch.parts:
                        product *= self._paths(below)
                    total += product
                return total


class _Walk:
    """One path."""

    def __init__(self, rules: Mapping[str, Choice], rng: Random, held_out: bool) -> None:
        self._rules, self._rng, self._allowed = rules, rng, held_out
        self.took_held_out = False
        self.first: int | None = None

    def text(self, part: Part) -> str:
        """What the path says below `part`."""
        match part:
            case Literal(text=text):
                return text
            case Rule(name=name):
                return self.text(self._rules[name])
            case Choice(branches=branches):
                return self._one_of(branches)

    def _one_of(self, branches: tuple[Branch, ...]) -> str:
        usable = [i for i, b in enumerate(branches) if self._allowed or not b.held_out]
        number = self._rng.choice(usable)
        if self.first is None:
            self.first = number
        taken = branches[number]
        self.took_held_out |= taken.held_out
        return "".join(self.text(part) for part in taken.parts)
