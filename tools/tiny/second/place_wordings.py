"""How people ask where things are, and ask to be shown them; data only.

Law: the notation is that of `tools.tiny.second.grammar`.
"""

from __future__ import annotations

PLACE_RULES = {
    # ----------------------------------------------------------------------------- positions
    "next_left": (
        "what is [|directly|right] [left of|to the left of|on the left of] the {x} [|<place>]?"
        "|which [shape|object|thing] is [left of|to the left of|on the left side of] the {x}?"
        "|what do you see [left of|to the left of] the {x}?|what stands left of the {x}?"
        "|what<is> the [shape|object] to the left of the {x}?|name what is left of the {x}."
        "|<tell> what is [left of|to the left of] the {x}.|left of the {x} is what?"
        "|~what can be found at the left side of the {x}?|~which one is the {x}'s left neighbor?"
    ),
    "next_right": (
        "what is [|directly] [right of|to the right of|on the right of] the {x} [|<place>]?"
        "|which [shape|object|thing] is [right of|to the right of|on the right side of] the {x}?"
        "|what do you see [right of|to the right of] the {x}?|what stands right of the {x}?"
        "|what<is> the [shape|object] to the right of the {x}?|name what is right of the {x}."
        "|<tell> what is [right of|to the right of] the {x}.|right of the {x} is what?"
        "|~what can be found at the right side of the {x}?|~which one is the {x}'s right neighbor?"
    ),
    "next_above": (
        "what is [|directly|right] [above|over|on top of] the {x} [|<place>]?"
        "|which [shape|object|thing] is [above|over] the {x}?|what do you see above the {x}?"
        "|what<is> the [shape|object] above the {x}?|name what is above the {x}."
        "|<tell> what is above the {x}.|above the {x} is what?|what stands above the {x}?"
        "|~what can be found higher up than the {x}?|~which one is the {x}'s upper neighbor?"
    ),
    "next_below": (
        "what is [|directly|right] [below|under|beneath|underneath] the {x} [|<place>]?"
        "|which [shape|object|thing] is [below|under] the {x}?|what do you see below the {x}?"
        "|what<is> the [shape|object] below the {x}?|name what is below the {x}."
        "|<tell> what is below the {x}.|below the {x} is what?|what stands under the {x}?"
        "|~what can be found lower down than the {x}?|~which one is the {x}'s lower neighbor?"
    ),
    "upper_left": "[upper left|top left|top-left|upper-left|~northwest]",
    "upper_right": "[upper right|top right|top-right|upper-right|~northeast]",
    "lower_left": "[lower left|bottom left|bottom-left|lower-left|~southwest]",
    "lower_right": "[lower right|bottom right|bottom-right|lower-right|~southeast]",
    "corner": (
        "[what|which shape|which object|which figure] is in the {c} corner [of the <picture>|]?"
        "|what is [in|at] the {c} [of the <picture>|]?|what [shape|object] do you see in the {c}"
        " [corner|]?|what<is> the [shape|object] in the {c} corner?|name the shape in the {c}"
        " [corner|].|<tell> what is in the {c} corner.|which [one|shape] is {c}?"
        "|what is {c}?|{c} corner: what is there?|~what occupies the {c} corner?"
        "|~look into the {c} corner. what is it?"
    ),
    "edge": (
        "[what|which shape|which object|which one] is [{e}|the {e} one] <place>?"
        "|what<is> the {e} [shape|object|one|thing]?|which [shape|object] is the {e} [one|]?"
        "|name the {e} [shape|object].|<tell> which [shape|one] is {e}."
        "|what [shape|object] is {e}?|~identify the {e} [shape|object].|~{e} is which?"
    ),
    "leftmost": "[leftmost|farthest left|furthest to the left|~nearest to the left edge]",
    "rightmost": "[rightmost|farthest right|furthest to the right|~nearest to the right edge]",
    "topmost": "[topmost|highest|uppermost|~nearest to the top edge]",
    "bottommost": "[lowest|bottommost|lowermost|~nearest to the bottom edge]",
    "middle": (
        "what is in the [middle|center|centre] [of the <picture>|]?|which [shape|object] is in the"
        " [middle|center|centre]?|what<is> the [shape|object] in the [middle|center]?|<tell> what"
        " is in the middle.|name the [middle|central] [shape|object].|~what is at the heart of the"
        " <picture>?"
    ),
    "is_beside": (
        "is the {x} {r} the {y}?|is the {x} {r} the {y} <place>?|does the {x} [lie|stand] {r} the"
        " {y}?|is it true that the {x} is {r} the {y}?|<tell> if the {x} is {r} the {y}."
        "|the {x} is {r} the {y}, [right|correct|true or not]?|~would you say the {x} is {r} the"
        " {y}?"
    ),
    "left_of": "[left of|to the left of|on the left of|~on the left-hand side of]",
    "right_of": "[right of|to the right of|on the right of|~on the right-hand side of]",
    "above": "[above|higher than|over|~further up than]",
    "below": "[below|lower than|under|~further down than]",
    "row_count": (
        "how many [shapes|objects|things] are [in|there in] the {w} row?|how many are in the {w}"
        " row?|what<is> the <amount> of [shapes|objects] in the {w} row?|count the [shapes|objects]"
        " [in|of] the {w} row.|<tell> how many shapes the {w} row has.|how many [shapes|objects]"
        " does the {w} row have?|~how long is the {w} row?"
    ),
    # ------------------------------------------------------------------------------ pointing
    "find": (
        "where is the {x} [|<place>]?|find the {x} [|<place>].|locate the {x} [|<place>]."
        "|point [at|to] the {x}.|[show|show me] [the {x}|where the {x} is]."
        "|[give|give me|return|output|write|draw|mark] [the|a] [bounding box|box|bounding box"
        " coordinates|coordinates] [of|for|around] the {x}.|detect the {x} [|<place>]."
        "|mark the {x}.|<tell> where the {x} is.|which box holds the {x}?|outline the {x}."
        "|what<is> the [bounding box|position|place|location] of the {x}?|box the {x}."
        "|can you [find|locate|point at|point to|show me] the {x}?|~pinpoint the {x}."
        "|~put a frame around the {x}.|~in which area is the {x}?"
    ),
    "find_all": (
        "where are the {x} [|<place>]?|find [all|all the|the] {x} [|<place>]."
        "|locate [all|all the|the] {x} [|<place>].|point [at|to] [all the|the] {x}."
        "|[give|give me|return|output|draw|mark] [the|] [bounding boxes|boxes|coordinates] [of|for|"
        "around] [all the|the] {x}.|detect [all|all the|the] {x}.|mark [all|all the|the] {x}."
        "|can you [find|locate|point at|show me] [all|] the {x}?|~pinpoint the {x}."
        "|~put frames around the {x}."
    ),
    # Word for word what is asked of a model that only points; the others are for robustness.
    "look": (
        "locate the part of the picture that is needed to answer: {q}|locate the part of the"
        " picture that is needed to answer: {q}|locate the part of the picture that is needed to"
        " answer: {q}|where in the picture is what is needed to answer: {q}"
        "|which part of the picture answers this: {q}|~point at the region that matters for: {q}"
    ),
}
