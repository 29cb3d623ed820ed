"""The clients that people use, against the embedded model. Each is skipped where it is not here.

They are no development dependencies: `pip install openai anthropic litellm llm` beside qvq.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from qvq_mlx.families import ModelType
from tests.conftest import EXAMPLES, World
from tests.engine.families import write
from tests.serve.http import QUESTION, SHAPES, Json, Served, serving
from tests.serve.test_tools import (
    FUNCTION,
    GIVEN,
    JSON_CALL,
    PARAMETERS,
    THOUGHT,
    TOOLS,
    Model,
    saying,
)
from tests.support.tool_templates import QWEN3_VL

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # those of other people's libraries
]
Build = Callable[..., World]
ANSWER, THINKING = "\\boxed{3}", "Alright, there are some shapes here"
PARTS: list[Json] = [
    {"type": "text", "text": QUESTION},
    {"type": "image_url", "image_url": {"url": SHAPES}},
]
CHAT: list[Json] = [{"role": "user", "content": PARTS}]
INPUT: list[Json] = [
    {
        "role": "user",
        "content": [
            {"type": "input_text", "text": QUESTION},
            {"type": "input_image", "image_url": SHAPES},
        ],
    }
]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    from qvq_mlx.cli.world import real_env
    from tests.conftest import Stream

    folder = tmp_path_factory.mktemp("clients")
    before = os.environ.get("QVQ_HOME")
    os.environ["QVQ_HOME"] = str(folder)
    try:
        with serving(World(real_env(), Stream(), Stream())) as found:
            yield found
    finally:
        os.environ.pop("QVQ_HOME")
        if before is not None:
            os.environ["QVQ_HOME"] = before


def test_openai_chat_stream_responses_and_parse(served: Served) -> None:
    openai = pytest.importorskip("openai")
    pydantic = pytest.importorskip("pydantic")
    client = openai.OpenAI(base_url=f"{served.http.address}/v1", api_key="none")
    message = client.chat.completions.create(model="tiny", messages=CHAT).choices[0].message
    assert message.content == ANSWER
    assert message.reasoning_content.startswith(THINKING)
    chunks = list(client.chat.completions.create(model="tiny", messages=CHAT, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == ANSWER
    response = client.responses.create(model="tiny", input=INPUT)
    assert (response.output_text, response.output[0].type) == (ANSWER, "reasoning")
    with client.responses.stream(model="tiny", input=INPUT) as stream:
        assert stream.get_final_response().output_text == ANSWER
    count = pydantic.create_model("Count", count=(int, ...))
    parsed = client.chat.completions.parse(model="tiny", messages=CHAT, response_format=count)
    assert parsed.choices[0].message.parsed.count == 3
    assert (
        client.responses.parse(model="tiny", input=INPUT, text_format=count).output_parsed.count
        == 3
    )
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="tiny", messages=CHAT, logprobs=True)
    assert refused.value.param == "logprobs"


def test_anthropic_messages_and_stream(served: Served) -> None:
    anthropic = pytest.importorskip("anthropic")
    client = anthropic.Anthropic(base_url=served.http.address, api_key="none")
    source = {"type": "base64", "media_type": "image/png", "data": SHAPES.partition(",")[2]}
    content = [{"type": "image", "source": source}, {"type": "text", "text": QUESTION}]
    asked: Json = {
        "model": "tiny",
        "max_tokens": 400,
        "messages": [{"role": "user", "content": content}],
    }
    budget = {"type": "enabled", "budget_tokens": 300}
    thinking, text = client.messages.create(**asked, thinking=budget).content
    assert thinking.thinking.startswith(THINKING)
    assert text.text == ANSWER
    with client.messages.stream(**asked) as stream:
        assert "".join(stream.text_stream) == ANSWER


def test_litellm(served: Served) -> None:
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it asks a server for prices
    litellm = pytest.importorskip("litellm")
    base = f"{served.http.address}/v1"
    reply = litellm.completion(model="openai/tiny", api_base=base, api_key="none", messages=CHAT)
    message = reply.choices[0].message
    assert message.content == ANSWER
    assert message.reasoning_content.startswith(THINKING)


@pytest.mark.parametrize("how", [[], ["--responses"], ["--no-stream"]], ids=str)
def test_llm(served: Served, tmp_path: Path, how: list[str]) -> None:
    pytest.importorskip("llm")
    picture = str(EXAMPLES / "shapes.png")
    command = [sys.executable, "-m", "llm", "openai", "endpoint", f"{served.http.address}/v1"]
    options = ["-m", "qvq-tiny", "-a", picture, *how]
    environ = {**os.environ, "LLM_USER_PATH": str(tmp_path)}
    done = subprocess.run(
        [*command, *options, QUESTION], capture_output=True, text=True, env=environ, check=True
    )
    assert done.stdout.strip() == ANSWER
    schema = subprocess.run(
        [*command, *options, "--schema", "count int", QUESTION],
        capture_output=True,
        text=True,
        env=environ,
        check=True,
    )
    assert schema.stdout.replace(" ", "").strip() == '{"count":3}'


@pytest.fixture(scope="module")
def calling(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A checkpoint whose template knows tools."""
    folder = write(ModelType.QWEN3_VL, tmp_path_factory.mktemp("model") / "qwen3_vl")
    (folder / "chat_template.jinja").write_text(QWEN3_VL)
    return Model(folder, JSON_CALL, tuple(THOUGHT))


def test_openai_calls_tools(world: Build, calling: Model) -> None:
    openai = pytest.importorskip("openai")
    asked: list[Json] = [{"role": "user", "content": "Rain?"}]
    asks: Json = {"model": calling.folder.name, "tools": TOOLS}
    tools = [{"type": "function", "strict": False, **FUNCTION}]
    with saying(world, calling, "I look.\n", calling.call, calling.call) as (served, _):
        client = openai.OpenAI(base_url=f"{served.http.address}/v1", api_key="none")
        message = client.chat.completions.create(messages=asked, **asks).choices[0].message
        with client.chat.completions.stream(messages=asked, **asks) as stream:
            streamed = stream.get_final_completion().choices[0]
        results = [
            {"role": "tool", "tool_call_id": call.id, "content": "sun"}
            for call in message.tool_calls
        ]
        # what a client sends back is what it got
        said = message.model_dump(exclude_none=True)
        again = client.chat.completions.create(messages=[*asked, said, *results], **asks)
        response = client.responses.create(model=asks["model"], input="Rain?", tools=tools)
        items = [*response.output]
        output = [
            {"type": "function_call_output", "call_id": item.call_id, "output": "sun"}
            for item in items
            if item.type == "function_call"
        ]
        more: list[Any] = [{"role": "user", "content": "Rain?"}, *items, *output]
        second = client.responses.create(model=asks["model"], input=more, tools=tools)
        with client.responses.stream(model=asks["model"], input="Rain?", tools=tools) as events:
            final = events.get_final_response()
    assert message.content == streamed.message.content == "I look."
    for found in (message, streamed.message):
        assert [json.loads(one.function.arguments) for one in found.tool_calls] == [GIVEN] * 2
    assert streamed.finish_reason == again.choices[0].finish_reason == "tool_calls"
    for one in (response, second, final):
        assert [item.type for item in one.output] == [
            *("reasoning", "message", "function_call", "function_call")
        ]
        assert json.loads(one.output[-1].arguments) == GIVEN


def test_anthropic_calls_tools(world: Build, calling: Model) -> None:
    anthropic = pytest.importorskip("anthropic")
    asked: list[Any] = [{"role": "user", "content": "Rain?"}]
    tool = {"name": "weather", "description": "The weather.", "input_schema": PARAMETERS}
    asks: Json = {"model": calling.folder.name, "max_tokens": 900, "tools": [tool]}
    with saying(world, calling, "I look.\n", calling.call) as (served, engine):
        client = anthropic.Anthropic(base_url=served.http.address, api_key="none")
        whole = client.messages.create(messages=asked, **asks)
        with client.messages.stream(messages=asked, **asks) as stream:
            streamed = stream.get_final_message()
        use = whole.content[-1]
        result = {"type": "tool_result", "tool_use_id": use.id, "content": "sun"}
        asked += [
            {"role": "assistant", "content": whole.content},
            {"role": "user", "content": [result]},
        ]
        client.messages.create(messages=asked, **asks)
    for found in (whole, streamed):
        assert found.stop_reason == "tool_use"
        assert [block.type for block in found.content] == ["thinking", "text", "tool_use"]
        assert found.content[-1].input == GIVEN
    assert engine.asked[-1][0] == "<tool_response>\nsun\n</tool_response>"
