"""How people ask about charts, sums and words; data only.

Law: the notation is that of `tools.tiny.second.grammar`.
"""

from __future__ import annotations

FIGURE_RULES = {
    # -------------------------------------------------------------------------------- charts
    "bar": "[bar|column|~stick]",
    "high": "[tallest|highest|biggest|largest|~longest|~greatest]",
    "low": "[shortest|lowest|smallest|~tiniest|~least]",
    "chart": "[chart|bar chart|diagram|graph|picture|image|~plot]",
    "tallest": (
        "which <bar> is [the|] <high> [|in the <chart>]?|which is the <high> <bar>?"
        "|which <bar> has the [largest|highest|biggest|greatest|maximum] value?"
        "|what<is> the <high> <bar>?|<tell> which <bar> is [the|] <high>."
        "|which [letter|label|category] has the [<high> <bar>|highest value|largest value]?"
        "|which category is [the|] <high>?|what<is> the [label|letter|name] of the <high> <bar>?"
        "|find the <high> <bar>.|name the <high> <bar>.|which [one|] is [the|] <high>?"
        "|which <bar> stands for the maximum?|which <bar> reaches the highest?|who has the most?"
        "|where is the maximum?|which <bar> is taller than all the others?"
        "|~which <bar> towers over the rest?|~whose <bar> is <high>?|~what peaks in this <chart>?"
    ),
    "shortest": (
        "which <bar> is [the|] <low> [|in the <chart>]?|which is the <low> <bar>?"
        "|which <bar> has the [smallest|lowest|least|minimum] value?|what<is> the <low> <bar>?"
        "|<tell> which <bar> is [the|] <low>.|which [letter|label|category] has the [<low> <bar>"
        "|lowest value|smallest value]?|which category is [the|] <low>?|what<is> the [label|letter"
        "|name] of the <low> <bar>?|find the <low> <bar>.|name the <low> <bar>."
        "|which [one|] is [the|] <low>?|which <bar> stands for the minimum?|who has the least?"
        "|where is the minimum?|which <bar> is shorter than all the others?"
        "|~which <bar> is dwarfed by the rest?|~whose <bar> is <low>?"
    ),
    "value": (
        "what<is> the [value|height|number] of [<bar>|] {x} [|in the <chart>]?"
        "|how [tall|high|big|large] is [<bar>|] {x}?|[what|which] [value|number] does [<bar>|] {x}"
        " [have|show|reach|~represent]?|read [off|] [the value of|] <bar> {x}."
        "|<tell> the value of [<bar>|] {x}.|<show_me> the value of [<bar>|] {x}."
        "|how much is [<bar>|] {x}?|what does [<bar>|] {x} [show|say]?|value of {x}?|{x}?"
        "|what is the [<bar>|] {x} at?|how much does {x} have?|~how far up does {x} go?"
        "|~what figure belongs to {x}?"
    ),
    "difference": (
        "what<is> the difference between [<bar>|] {x} and [<bar>|] {y}?"
        "|how [large|big] is the difference between {x} and {y}?|by how much do {x} and {y} differ?"
        "|find the difference [of|between] {x} and {y}.|how far apart are [bars|] {x} and {y}?"
        "|how much do {x} and {y} differ?|difference of {x} and {y}?|subtract the smaller of {x}"
        " and {y} from the larger.|~what gap lies between {x} and {y}?"
    ),
    "sum": (
        "what<is> the sum of [<bar>|] {x} and [<bar>|] {y}?|how much are {x} and {y} together?"
        "|what do {x} and {y} [add up to|make together|come to]?|add [<bar>|] {x} and [<bar>|] {y}."
        "|what<is> the total of [<bar>|] {x} and [<bar>|] {y}?|find the sum of {x} and {y}."
        "|how much is {x} plus {y}?|{x} plus {y}?|sum of {x} and {y}?"
        "|~what do you get when you join {x} and {y}?|~combined, what are {x} and {y}?"
    ),
    "taller": (
        "which [<bar>|] is [taller|higher|bigger|larger], {x} or {y}?|is {x} or {y} [taller|higher|"
        "bigger|larger]?|which is [taller|higher|larger]: {x} or {y}?|which has the [larger|higher|"
        "bigger] value, {x} or {y}?|who has more, {x} or {y}?|~{x} against {y}: which wins?"
    ),
    "is_taller": (
        "is [<bar>|] {x} [taller|higher|bigger|larger|greater] than [<bar>|] {y}?|does {x} have a"
        " [larger|higher|bigger] value than {y}?|is the value of {x} [larger|higher|greater] than"
        " that of {y}?|is it true that {x} is [taller|higher] than {y}?"
        "|does {x} have more than {y}?|~does {x} exceed {y}?"
    ),
    "bars": (
        "how many <bar>s <seen>?|how many <bar>s does the <chart> have?|how many <bar>s?"
        "|count [the|all|all the] <bar>s.|what<is> the <amount> of <bar>s?|how many [labels|"
        "categories] are there?|<tell> how many <bar>s there are.|<amount> of <bar>s?"
        "|~of how many <bar>s is this <chart> made?"
    ),
    # ---------------------------------------------------------------------------------- sums
    "exercise": "[sum|problem|calculation|expression|equation|exercise|task|~formula]",
    "arithmetic": (
        "what is the [result|answer|solution|value|outcome] [|of this|of the <exercise>|of this"
        " <exercise>|to this <exercise>|<place>]?|what<is> the [result|answer|solution]?"
        "|what does [it|this|the <exercise>|this <exercise>] [equal|come to|make|give|add up to]?"
        "|what do you get?|what is [this|it|that]?|how much is [this|it|that]?|what number comes"
        " out?|what number should [replace|stand for] the question mark?"
        "|what is the missing number?"
        "|[solve|calculate|compute|work out|evaluate|do|answer] [it|this|the <exercise>|this"
        " <exercise>|the <exercise> <place>] [|for me].|[can|could] you [solve|calculate|compute|"
        "do|answer|work out] [this|the <exercise>|this <exercise>] [|for me]?|do the [math|maths]."
        "|[find|tell me|give me|give|say|write] the [result|answer|solution|value] [|of the"
        " <exercise>].|work [this|it] out [|for me].|what's the answer to the <exercise>?"
        "|calculate.|solve.|and the result?|what does the <exercise> shown come to?"
        "|~finish this <exercise>.|~and the outcome is?|~what would a calculator say?"
        "|~which number belongs behind the equals sign?"
    ),
    # --------------------------------------------------------------------------------- words
    "read": (
        "what does it say?|what does the [text|sign|<picture>] say?|what is written <place>?"
        "|what word is [this|that|it|shown|written] [|<place>]?|read the [text|word|sign]."
        "|read [it|this] [|for me|aloud].|[which|what] word do you see?|what<is> the word <place>?"
        "|what is the text <place>?|what text do you see?|<tell> what is written <place>."
        "|can you read [this|it|the word|the text]?|what letters do you see?|what can you read?"
        "|transcribe the text.|copy the [word|text].|which word is written <place>?|what is written"
        " there?|what stands [there|here]?|~spell out what you see.|~decipher the writing."
    ),
    "read_number": (
        "what number is [this|that|it|shown|written] [|<place>]?|read the number."
        "|[which|what] number do you see?|what<is> the number <place>?|<tell> the number <place>."
        "|what does it say?|what is written <place>?|read [it|this].|can you read the number?"
        "|which number is written <place>?|what digits do you see?|~decipher the number."
    ),
}
