"""The ways in which people ask, as a grammar; standard library only.

Law: a wording changes the sound of a question, never its answer. `{x}` and `{y}` are what is asked
about. The first alternative taken picks the voice of the thinking, so that greedy output is not
monotonous. `tools.tiny.second.grammar` tells the notation; `~` marks what training never sees.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from tools.tiny.second.figure_wordings import FIGURE_RULES
from tools.tiny.second.grammar import Grammar
from tools.tiny.second.place_wordings import PLACE_RULES
from tools.tiny.second.shape_wordings import SHAPE_RULES

COMMON_RULES = {
    "picture": "[image|picture|drawing|photo|~illustration|~graphic]",
    "place": (
        "[in the <picture>|in this <picture>|in the <picture>|here|on the [page|canvas|~sheet]"
        "|within the <picture>|~on display|~before you|]"
    ),
    "seen": (
        "[are there <place>|are there <place>|are there|are there in total|can you see <place>"
        "|do you see <place>|are shown <place>|are visible <place>|are drawn <place>"
        "|does [the|this] <picture> [show|contain|have|~hold|~include|~feature]"
        "|have been drawn|can be seen <place>|can you find <place>|do you count <place>"
        "|appear <place>|~are present <place>|~can be spotted <place>|~exist <place>"
        "|~has this <picture> got|~would you say there are]"
    ),
    "tell": (
        "[tell me|say|can you tell me|could you tell me|do you know|I want to know"
        "|I would like to know|I'd like to know|please say|state|can you say|~let me know|~I wonder"
        "|~would you mind telling me]"
    ),
    "show_me": "[give|give me|name|write down|state|report|tell me|~provide|~supply]",
    "amount": "[number|count|total number|exact number|quantity|~tally|~amount]",
    "is": "[ is|'s]",
    # ------------------------------------------------------------------------------- follow-ups
    "and_count": (
        "and how many {x}?|and the {x}?|what about the {x}?|and {x}?|how about the {x}?"
        "|now count the {x}.|and how many {x} are there?|then how many {x}?|~same for the {x}."
    ),
    "and_value": "and {x}?|what about {x}?|and bar {x}?|how about {x}?|~same for {x}.",
    "and_shortest": "and the <low>?|and which is the <low>?|what about the <low> [one|<bar>]?",
    "and_tallest": "and the <high>?|and which is the <high>?|what about the <high> [one|<bar>]?",
    # -------------------------------------------------------------------------- around a question
    "before": (
        "look at the <picture>.|look [closely|carefully].|question:|here is a <picture>."
        "|have a look at this <picture>.|hi!|hello.|ok,|so,|please help me.|quick question:"
        "|take a look.|please answer:|about this <picture>:|look at this.|~one more thing:"
        "|~I am curious.|~study the <picture> with care."
    ),
    "behind": (
        "think step by step.|answer with one word.|just the answer, please.|answer"
        " briefly.|be careful.|thanks!|thank you.|explain.|give [only|just] the answer.|take your"
        " time.|answer in [one word|a word].|~keep it short.|~no explanation needed."
    ),
}
RULES = COMMON_RULES | SHAPE_RULES | PLACE_RULES | FIGURE_RULES
GRAMMAR = Grammar(RULES)
# What the domain asks; the other rules are parts of these.
KINDS_OF_QUESTION = (
    *(
        "count",
        "exists",
        "color_of",
        "shape_of",
        "describe",
        "more_which",
        "fewer_which",
        "more_than",
    ),
    *("fewer_than", "equal", "how_many_more", "next_left", "next_right", "next_above"),
    *("next_below", "corner", "edge", "middle", "is_beside", "row_count", "find", "find_all"),
    *("tallest", "shortest", "value", "difference", "sum", "taller", "is_taller", "bars"),
    *("arithmetic", "read", "read_number", "and_count", "and_value"),
)


def capitalised(text: str) -> str:
    """Raise the first letter."""
    return text[:1].upper() + text[1:]


def worn(rng: Random, question: str) -> str:
    """The same question with or without its capital and stop, politely, in a longer sentence."""
    draw = rng.random()
    if draw < 0.12:
        question = question.rstrip("?.")
    elif draw < 0.18:
        question = f"please {question}" if question[-1] == "." else f"{question} please."
    elif draw < 0.22 and question[-1] in "?.":
        question = f"{question[:-1]}, please{question[-1]}"
    if rng.random() < 0.1:
        question = f"{GRAMMAR.wording(rng, 'before').text} {question}"
    if rng.random() < 0.1:
        stop = "" if question[-1:] in ("?", ".", "") else "."
        behind = capitalised(GRAMMAR.wording(rng, "behind").text)
        question = f"{question}{stop} {behind}"
    return question if rng.random() < 0.1 else sentences(question)


def sentences(text: str) -> str:
    """Raise the first letter of every sentence."""
    raised = []
    for i, letter in enumerate(text):
        begins = i == 0 or (text[i - 1] == " " and text[max(0, i - 2)] in ".?!")
        raised.append(letter.upper() if begins else letter)
    return "".join(raised)


@dataclass(frozen=True, slots=True)
class Asker:
    """Asks in words that are known from training, or in words that are held out from it."""

    rng: Random
    held_out: bool = False

    def __call__(self, rule: str, **about: str) -> tuple[str, int]:
        """A question of `rule`, and the number of the voice that thinks about it."""
        wording = GRAMMAR.wording(self.rng, rule, self.held_out)
        text = wording.text
        for name, words in about.items():
            text = text.replace(f"{{{name}}}", words)
        voice = wording.first % 3 if self.rng.random() < 0.92 else self.rng.randrange(3)
        return worn(self.rng, text), voice

    def part(self, rule: str) -> str:
        """Words of a rule that is a part of a question."""
        return GRAMMAR.wording(self.rng, rule, self.held_out and self.rng.random() < 0.3).text
