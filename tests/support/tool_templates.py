"""Chat templates that know tools, in the manner of Qwen3-VL (JSON) and of Qwen3.5 (coder form)."""

from __future__ import annotations

_CONTENT = (
    "{%- macro said(content) -%}{%- if content is string -%}{{ content }}{%- else -%}"
    "{%- for part in content -%}{%- if part.type == 'image' -%}"
    "<|vision_start|><|image_pad|><|vision_end|>{%- else -%}{{ part.text }}{%- endif -%}"
    "{%- endfor -%}{%- endif -%}{%- endmacro -%}"
)
_TURNS = (
    "{%- for message in messages -%}{%- if message.role == 'user' -%}"
    "{{ '<|im_start|>user\\n' + said(message.content) + '<|im_end|>\\n' }}"
    "{%- elif message.role == 'assistant' -%}"
    "{{ '<|im_start|>assistant\\n' + said(message.content) }}"
    "{%- for call in message.tool_calls or [] -%}CALL{%- endfor -%}{{ '<|im_end|>\\n' }}"
    "{%- elif message.role == 'tool' -%}"
    "{%- if loop.first or messages[loop.index0 - 1].role != 'tool' -%}"
    "{{ '<|im_start|>user' }}{%- endif -%}"
    "{{ '\\n<tool_response>\\n' + said(message.content) + '\\n</tool_response>' }}"
    "{%- if loop.last or messages[loop.index0 + 1].role != 'tool' -%}"
    "{{ '<|im_end|>\\n' }}{%- endif -%}{%- endif -%}{%- endfor -%}"
)
_SIGNATURES = (
    "{%- for tool in tools -%}{{ '\\n' + (tool | tojson) }}{%- endfor -%}{{ '\\n</tools>' }}"
)
_FIRST = "messages[0].role == 'system'"

QWEN3_VL = (
    _CONTENT
    + "{%- if tools -%}{{ '<|im_start|>system\\n' }}"
    + f"{{%- if {_FIRST} -%}}{{{{ said(messages[0].content) + '\\n\\n' }}}}{{%- endif -%}}"
    + "{{ '# Tools\\n\\nSignatures:\\n<tools>' }}"
    + _SIGNATURES
    + '{{ \'\\n\\nCall one as <tool_call>\\n{"name": NAME, "arguments": OBJECT}\\n</tool_call>'
    + "<|im_end|>\\n' }}"
    + f"{{%- elif {_FIRST} -%}}"
    + "{{ '<|im_start|>system\\n' + said(messages[0].content) + '<|im_end|>\\n' }}{%- endif -%}"
    + _TURNS.replace(
        "CALL",
        '{{ \'<tool_call>\\n{"name": "\' + call.function.name + \'", "arguments": \' }}'
        "{{ call.function.arguments | tojson }}{{ '}\\n</tool_call>' }}",
    )
    + "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n<think>\\n' }}{%- endif -%}"
)

QWEN3_5 = (
    _CONTENT
    + "{%- if tools -%}{{ '<|im_start|>system\\n# Tools\\n\\nSignatures:\\n<tools>' }}"
    + _SIGNATURES
    + "{{ '\\n\\nCall one as <tool_call>\\n<function=NAME>\\n<parameter=KEY>\\nVALUE\\n</parameter>"
    + "\\n</function>\\n</tool_call>' }}"
    + f"{{%- if {_FIRST} -%}}{{{{ '\\n\\n' + said(messages[0].content) | trim }}}}{{%- endif -%}}"
    + "{{ '<|im_end|>\\n' }}"
    + f"{{%- elif {_FIRST} -%}}"
    + "{{ '<|im_start|>system\\n' + said(messages[0].content) + '<|im_end|>\\n' }}{%- endif -%}"
    + _TURNS.replace(
        "CALL",
        "{{ '<tool_call>\\n<function=' + call.function.name + '>\\n' }}"
        "{%- for key, value in call.function.arguments | items -%}"
        "{{ '<parameter=' + key + '>\\n' }}"
        "{{ value if value is string else value | tojson }}{{ '\\n</parameter>\\n' }}"
        "{%- endfor -%}{{ '</function>\\n</tool_call>' }}",
    )
    + "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}"
    + "{%- if enable_thinking is defined and not enable_thinking -%}"
    + "{{ '<think>\\n\\n</think>\\n\\n' }}{%- else -%}{{ '<think>\\n' }}{%- endif -%}{%- endif -%}"
)


def json_call(box: object, picture: object = 0, label: str = "the sum") -> str:
    """A call as Qwen3-VL writes it."""
    import json

    given = {"bbox_2d": box, "label": label, "img_idx": picture}
    body = json.dumps({"name": "image_zoom_in_tool", "arguments": given})
    return f"<tool_call>\n{body}\n</tool_call>"


def coder_call(box: object, picture: object = 0, label: str = "the sum") -> str:
    """A call as Qwen3.5 writes it."""
    parameters = {"bbox_2d": box, "label": label, "img_idx": picture}
    inside = "".join(
        f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in parameters.items()
    )
    return f"<tool_call>\n<function=image_zoom_in_tool>\n{inside}</function>\n</tool_call>"
