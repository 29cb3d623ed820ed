"""What a checkpoint's chat template writes, compared with the prompt that qvq builds.

Law: a template is rendered, not searched: known messages go in, and what stands around them in the
text is what it adds. It is a program of others, so it runs in a process of its own
(store/template_process.py), in Jinja2's sandbox, bounded in size and time.
"""

from __future__ import annotations

import functools
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from qvq_mlx.core.errors import BrokenModelError
from qvq_mlx.core.remedies import RunProgram
from qvq_mlx.store.checkpoint import read_json
from qvq_mlx.system import programs
from qvq_mlx.system.reading import read_bytes, why

_TEMPLATE_BYTES = 2**19
_OUTPUT_BYTES = 2**21
_WAIT_S = 20.0  # the process bounds its own work to a few seconds; starting it may take longer
_PROCESS = Path(__file__).with_name("template_process.py")

_SYSTEM, _QUESTION, _REPLY, _NEXT = "SYSTEM-5Q", "QUESTION-7V", "REPLY-3A", "QUESTION-9W"
SWITCH = "enable_thinking"
"""The variable with which the templates of Qwen3 and later are asked to think, or not to."""
PICTURE = "<|vision_start|><|image_pad|><|vision_end|>"
_OPENS = re.compile(r"<(\w{1,40})>\n")
_TURNS = re.compile(
    r"(?:<\|im_start\|>system\n(?P<system>.*?)<\|im_end\|>\n)?"
    rf"<\|im_start\|>user\n(?:{re.escape(PICTURE)})?{_QUESTION}<\|im_end\|>\n"
    r"<\|im_start\|>assistant\n(?P<opened>.*)",
    re.DOTALL,
)
_SYSTEM_TURN = re.compile(r"<\|im_start\|>system\n(.*?)<\|im_end\|>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class TemplateFacts:
    """What a template adds to what is said.

    `rendered` False: it cannot be run, and `differs` says why. `system` is its default system
    message, None where it has none. `tag` is the one that it opens
    at the start of a reply, '' for none. `splits` True: it names `</think>`, so that the model is
    one that writes it. `differs` says in one line where a prompt of qvq's is not what the template
    writes; '' where they are equal. `unasked` is what it writes into a reply that is asked for
    without thinking, '' where it has no such choice; `on_request`: it does so by default.
    """

    rendered: bool
    system: str | None = None
    tag: str = ""
    splits: bool = False
    differs: str = ""
    unasked: str = ""
    on_request: bool = False


def template_of(folder: Path) -> str:
    """The text of the chat template, from whichever file holds it; empty where none does.

    Raises BrokenModelError where it cannot be read, or is too long.
    """
    plain = folder / "chat_template.jinja"
    try:
        return read_bytes(plain, _TEMPLATE_BYTES).decode(errors="replace")
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        raise BrokenModelError(
            f"{plain} cannot be read: {why(error)}", RunProgram(("ls", "-l", str(folder)))
        ) from error
    for name in ("chat_template.json", "tokenizer_config.json"):
        template = read_json(folder / name, missing_ok=True).get("chat_template")
        if isinstance(template, list):  # several, by name: [{"name": ..., "template": ...}]
            named = {entry.get("name"): entry for entry in template if isinstance(entry, dict)}
            template = named.get("default", {}).get("template")
        if isinstance(template, str):
            return template
    return ""


@functools.lru_cache(maxsize=8)
def facts_of(template: str, *, sees: bool) -> TemplateFacts:
    """Render `template` for a question, about a picture where the model `sees`, for a second round
    behind a system message, and where it knows `enable_thinking`, for both of its values.
    """
    asked = {"role": "user", "content": _content(_QUESTION, sees=sees)}
    rounds = [
        {"role": "system", "content": _SYSTEM},
        asked,
        {"role": "assistant", "content": _REPLY},
        {"role": "user", "content": _content(_NEXT, sees=False)},
    ]
    splits = "</think>" in template
    has_switch = SWITCH in template
    asked_to = {SWITCH: True} if has_switch else {}
    conversations: list[dict[str, object]] = [
        {"messages": [asked], **asked_to},
        {"messages": rounds, **asked_to},
    ]
    if has_switch:
        conversations += [{"messages": [asked], SWITCH: False}, {"messages": [asked]}]
    [alone, together, *switched] = rendered(template, conversations)
    if "error" in alone:
        return TemplateFacts(
            rendered=False, splits=splits, differs=f"it cannot be rendered: {alone['error']}"
        )
    match = _TURNS.fullmatch(alone["text"])
    if match is None:
        found = _SYSTEM_TURN.search(alone["text"])
        return TemplateFacts(True, found[1] if found else None, "", splits, _apart(alone["text"]))
    system, opened = match["system"], match["opened"]
    opens = _OPENS.fullmatch(opened)
    tag = opens[1] if opens else ""
    if opened and not tag:
        return TemplateFacts(True, system, "", splits, f"it begins each reply with {opened[:60]!r}")
    picture = PICTURE if sees else ""
    expected = (
        f"<|im_start|>system\n{_SYSTEM}<|im_end|>\n"
        f"<|im_start|>user\n{picture}{_QUESTION}<|im_end|>\n"
        f"<|im_start|>assistant\n{_REPLY}<|im_end|>\n"
        f"<|im_start|>user\n{_NEXT}<|im_end|>\n<|im_start|>assistant\n{opened}"
    )
    differs = ""
    if "error" in together:
        differs = f"it takes no second round behind a system message: {together['error']}"
    elif together["text"] != expected:
        differs = _apart(together["text"])
    unasked = ""
    if has_switch and switched[0] != alone and (silent := _TURNS.fullmatch(_text(switched[0]))):
        unasked = silent["opened"]
    on_request = bool(unasked) and switched[1] == switched[0]
    return TemplateFacts(True, system, tag, splits, differs, unasked, on_request)


def _text(answer: dict[str, str]) -> str:
    return answer.get("text", "")


def _content(text: str, *, sees: bool) -> object:
    return [{"type": "image"}, {"type": "text", "text": text}] if sees else text


def _apart(text: str) -> str:
    return f"it writes {' '.join(text.split())[:160]!r}"


def rendered(template: str, conversations: list[dict[str, object]]) -> list[dict[str, str]]:
    """Render each conversation: `text` is what the template writes, or `error` why it does not."""
    failed = [{"error": "it takes too long or too much"}] * len(conversations)
    if len(template) > _TEMPLATE_BYTES:
        return [{"error": f"it is {len(template):,} characters long"}] * len(conversations)
    order = json.dumps({"template": template, "conversations": conversations})
    try:
        with (
            programs.talk([sys.executable, "-I", str(_PROCESS)]) as process,
            process.within(_WAIT_S),
        ):
            process.tell(order.encode() + b"\n")
            answers = json.loads(process.read(_OUTPUT_BYTES))
    except (OSError, ValueError):
        return failed
    return answers if isinstance(answers, list) and len(answers) == len(failed) else failed
