"""How people ask what shapes there are, and compare counts of them; data only.

Law: the notation is that of `tools.tiny.second.grammar`.
"""

from __future__ import annotations

SHAPE_RULES = {
    # ------------------------------------------------------------------------------ counting
    "count": (
        "how many {x} <seen>?|how many {x} <seen>?|how many {x}?|how many {x} r there"
        "|[count|count up|add up|~enumerate|~tot up] [|the|all|all the|all of the] {x} <place>."
        "|[can|could|will|would] you count [|all] [|the] {x} [for me|]?"
        "|<tell> how many {x} [there are|are there|you see|you can see|are shown] <place>."
        "|what<is> the <amount> of {x} <place>?|what <amount> of {x} [do you see|is shown]?"
        "|<show_me> the <amount> of {x} <place>.|[the|] <amount> of {x}?|{x} count?"
        "|in [the|this] <picture>, how many {x} [are there|do you see|can be seen]?"
        "|[find|find out|determine|work out|figure out|~establish|~ascertain]"
        " [how many {x} there are|the <amount> of {x}] <place>."
        "|I see some [shapes|things] here. how many of them are {x}?"
        "|of all the shapes, how many are {x}?|{x}: how many?|how many are {x}?"
        "|~{x} - how many of those?|~there are how many {x}?|~what is the {x} total?"
    ),
    "exists": (
        "is there [a|any] {x} <place>?|do you see [a|any] {x} <place>?|can you see [a|any] {x}?"
        "|does [the|this] <picture> [show|have|contain] a {x}?|is a {x} [shown|visible|drawn]?"
        "|<tell> if there is a {x}.|is there at least one {x}?|~has a {x} been drawn?"
        "|~would you say that a {x} is there?"
    ),
    # ---------------------------------------------------------------------------- attributes
    "color_word": "[color|colour]",
    "color_of": (
        "what <color_word> is the {x} [|<place>]?|what<is> the <color_word> of the {x}?"
        "|which <color_word> [is the {x}|does the {x} have]?|<tell> the <color_word> of the {x}."
        "|what <color_word> does the {x} have?|the {x} [has|is] what <color_word>?"
        "|in [what|which] <color_word> is the {x} [drawn|shown|painted]?"
        "|<show_me> the <color_word> of the {x}.|<tell> what <color_word> the {x} is."
        "|<color_word> of the {x}?|there is one {x}. what <color_word> is it?"
        "|~how is the {x} [colored|coloured]?|~the {x} was painted in which <color_word>?"
        "|~identify the {x}'s <color_word>."
    ),
    "shape_of": (
        "what shape is the {x} [one|object|thing|shape|figure] [|<place>]?"
        "|[which|what] shape is {x}?|what<is> the {x} [shape|object|thing|figure]?"
        "|what<is> the shape of the {x} [one|object|thing]?|<show_me> the {x} shape."
        "|what shape does the {x} [one|object|thing] have?|<tell> [which|what] shape is {x}."
        "|what [kind|type|sort] of shape is the {x} [one|object]?|which of the shapes is {x}?"
        "|one shape is {x}. which [one|] is it?|the {x} [one|object] is what shape?"
        "|~what form does the {x} [one|thing] take?|~identify the {x} [one|object]."
    ),
    "describe": (
        "what shapes are [in the <picture>|here|in this <picture>]?|describe [the|this] <picture>."
        "|what do you see?"
        "|what is [in|on] [the|this] <picture>?|list [all the|all|the] shapes <place>."
        "|what can you see <place>?|which shapes [do you see|are there|are shown] <place>?"
        "|what does [the|this] <picture> show?|name [all the|the] [shapes|objects]."
        "|[can you|please] describe [the|this] <picture>.|~what is depicted?"
        "|~give me a description of the <picture>."
    ),
    # ----------------------------------------------------------------------------- comparing
    "more_which": (
        "are there more {x} or [more|] {y} <place>?|which are there more of <place>, {x} or {y}?"
        "|which are there more of: {x} or {y}?|are there more {x} or are there more {y}?"
        "|what are there more of, {x} or {y}?|which [is|are] [more frequent|more common|more"
        " numerous], {x} or {y}?|do you see more {x} or [more|] {y}?|{x} or {y}: which are more?"
        "|which do you see more of, {x} or {y}?|of which are there more, {x} or {y}?"
        "|more {x} or more {y}?|compare the {x} and the {y}. which are there more of?"
        "|<tell> whether there are more {x} or more {y}.|which <amount> is [larger|bigger|greater"
        "|higher], that of the {x} or that of the {y}?|~which outnumber the others, {x} or {y}?"
        "|~who is in the majority, {x} or {y}?|~does the <picture> have more {x} or more {y}?"
    ),
    "fewer_which": (
        "are there fewer {x} or [fewer|] {y} <place>?|which are there fewer of, {x} or {y}?"
        "|which are there less of: {x} or {y}?|what are there fewer of, {x} or {y}?"
        "|which [is|are] [less frequent|less common|rarer], {x} or {y}?"
        "|do you see fewer {x} or [fewer|] {y}?|{x} or {y}: which are fewer?"
        "|of which are there fewer, {x} or {y}?|compare the {x} and the {y}. which are there fewer"
        " of?|<tell> whether there are fewer {x} or fewer {y}.|which <amount> is [smaller|lower],"
        " that of the {x} or that of the {y}?|~who is in the minority, {x} or {y}?"
        "|~does the <picture> have fewer {x} or fewer {y}?"
    ),
    "more_than": (
        "are there more {x} than {y} <place>?|do you see more {x} than {y} <place>?"
        "|is the <amount> of {x} [larger|bigger|greater|higher] than [the <amount>|that] of {y}?"
        "|are [the|] {x} more [numerous|frequent|common] than [the|] {y}?"
        "|does [the|this] <picture> [show|have|contain] more {x} than {y}?|more {x} than {y}?"
        "|can you see more {x} than {y}?|is it true that there are more {x} than {y}?"
        "|there are more {x} than {y}, [right|true or not|correct]?|<tell> if there are more {x}"
        " than {y}.|~do the {x} outnumber the {y}?|~would you say there are more {x} than {y}?"
    ),
    "fewer_than": (
        "are there [fewer|less] {x} than {y} <place>?|do you see fewer {x} than {y} <place>?"
        "|is the <amount> of {x} [smaller|lower|less] than [the <amount>|that] of {y}?"
        "|are [the|] {x} [rarer|less frequent|less common] than [the|] {y}?"
        "|does [the|this] <picture> [show|have|contain] fewer {x} than {y}?|fewer {x} than {y}?"
        "|can you see fewer {x} than {y}?|is it true that there are fewer {x} than {y}?"
        "|there are fewer {x} than {y}, [right|true or not|correct]?|<tell> if there are fewer {x}"
        " than {y}.|~are the {x} outnumbered by the {y}?|~would you say there are fewer {x} than"
        " {y}?"
    ),
    "equal": (
        "are there as many {x} as {y} <place>?|is the <amount> of {x} [equal to|the same as]"
        " [the <amount>|that] of {y}?|are there equally many {x} and {y}?|do you see as many {x}"
        " as {y}?|is there the same <amount> of {x} and {y}?|does [the|this] <picture>"
        " [show|have|contain] as many {x} as {y}?|as many {x} as {y}?|~do the {x} and the {y} match"
        " in number?|~is it a tie between {x} and {y}?"
    ),
    "how_many_more": (
        "how many more {x} than {y} are there <place>?|how many more {x} are there than {y}?"
        "|by how many do the {x} outnumber the {y}?|how many more {x} than {y} do you see?"
        "|what<is> the difference between the <amount> of {x} and the <amount> of {y}?"
        "|~how much larger is the <amount> of {x} than that of {y}?"
    ),
}
