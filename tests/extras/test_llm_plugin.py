"""llm-qvq with the real llm, where that is installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import EXAMPLES, ROOT

llm = pytest.importorskip("llm", reason="llm is not here")
QUESTION = "How many red circles are there?"


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    from llm.plugins import pm

    monkeypatch.setenv("QVQ_HOME", str(tmp_path / "qvq"))
    monkeypatch.setenv("LLM_USER_PATH", str(tmp_path / "llm"))
    spec = importlib.util.spec_from_file_location(
        "llm_qvq", ROOT / "extras" / "llm-qvq" / "llm_qvq.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    pm.register(module)
    yield module
    pm.unregister(module)


def test_a_question_a_schema_and_an_error(plugin: ModuleType) -> None:
    model = llm.get_model("qvq/tiny")
    shapes = EXAMPLES / "shapes.png"
    asked = model.prompt(QUESTION, attachments=[llm.Attachment(path=str(shapes))])
    assert asked.text() == "\\boxed{3}"
    assert asked.usage().details["reasoning"] > 0
    schema = {
        "type": "object",
        "properties": {"count": {"type": "integer"}},
        "required": ["count"],
    }
    held = model.prompt(
        QUESTION, attachments=[llm.Attachment(content=shapes.read_bytes())], schema=schema
    )
    assert held.text() == '{"count": 3}'
    with pytest.raises(llm.ModelError, match="max_tokens"):
        model.prompt(QUESTION, attachments=[llm.Attachment(path=str(shapes))], max_tokens=0).text()
