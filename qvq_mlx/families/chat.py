"""What the chat templates of several families share."""

from __future__ import annotations

from qvq_mlx.core.card import Thinking, ThinkingStyle


def opened_tag(thinking: Thinking) -> str:
    """The open tag and a newline where the template opens the thinking, else nothing."""
    return f"{thinking.open_tag}\n" if thinking.style is ThinkingStyle.PREOPENED else ""
