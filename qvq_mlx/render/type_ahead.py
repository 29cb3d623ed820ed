"""What a person types while nothing waits for it: for the next prompt, or the shell.

Law: no character is lost and none is sent that was not: only Enter ends a line, and not within a
paste. The usual keys of a line editor (backspace, Ctrl-U, Ctrl-W) act on the line.
"""

from __future__ import annotations


class TypeAhead:
    """The text. `kept` True: a chat shows it and reads it later; False: the shell will.

    `lines` were ended with Enter, oldest first; `line` is what is being typed. `raw` is all of it
    as it came.
    """

    def __init__(self, *, kept: bool) -> None:
        self.kept = kept
        self.lines: list[str] = []
        self.line = ""
        self.raw = ""

    @property
    def all(self) -> tuple[str, ...]:
        """Everything that was typed and not taken yet."""
        return (self.raw, *self.lines, self.line)

    def type(self, character: str, *, pasted: bool = False) -> None:
        """One more character."""
        if not self.kept:
            self.raw += character
            return
        match character:
            case "\r" | "\n" if pasted:
                self.line += "\n"
            case "\r" | "\n":
                if self.line.strip():
                    self.lines.append(self.line)
                self.line = ""
            case "\x7f" | "\b":
                self.line = self.line[:-1]
            case "\x15":
                self.line = ""
            case "\x17":
                kept = self.line.rstrip()
                self.line = kept[: max(kept.rfind(" "), kept.rfind("\n")) + 1]
            case _ if character.isprintable() or (character == "\t" and pasted):
                self.line += character
            case _:
                pass  # a control that is no text

    def next_line(self) -> str | None:
        """Take the oldest line that was ended with Enter; None where there is none."""
        return self.lines.pop(0) if self.lines else None

    def begun(self) -> str:
        """Take what has no Enter yet: the beginning of the next line."""
        line, self.line = self.line, ""
        return line

    def hold(self) -> None:
        """Send nothing by itself any more: ended lines become part of what is being typed."""
        self.line = "\n".join([*self.lines, *([self.line] if self.line else [])])
        self.lines = []
