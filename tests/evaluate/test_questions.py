"""Each benchmark's rows become questions: prompt, pictures at their places, gold answer, strata."""

from __future__ import annotations

from pathlib import Path

import pytest

from qvq_mlx.core.errors import InputError
from qvq_mlx.evaluate import datasets
from qvq_mlx.evaluate.gold import (
    Benchmark,
    MathVisionGold,
    MathVistaGold,
    MmmuGold,
    OlympiadBenchGold,
)
from qvq_mlx.evaluate.question import PromptStyle, Question
from tests.evaluate import data_sets


def read(
    benchmark: Benchmark,
    folder: Path,
    split: str = "",
    style: PromptStyle = PromptStyle.OFFICIAL,
) -> list[Question]:
    files = datasets.files_of(benchmark, folder, split or datasets.DATA_SETS[benchmark].split)
    names = [outline.id for outline in datasets.outlines(benchmark, files, folder)]
    found = list(datasets.questions(benchmark, files, folder, names, style))
    assert [question.id for question in found] == names
    return found


def test_mmmu(tmp_path: Path) -> None:
    choice, free = read(Benchmark.MMMU, data_sets.mmmu(tmp_path))
    assert choice.prompt == (
        "Which is like <image 1>?\n\n(A) <image 2>\n(B) it's none, really\n\n"
        "Answer with the option's letter from the given choices directly."
    )
    assert choice.pictures == (data_sets.SHAPES, data_sets.CHART)
    assert choice.gold == MmmuGold(("B",), ("<image 2>", "it's none, really"))
    assert dict(choice.strata) == {
        "discipline": "Science",
        "subject": "Math",
        "difficulty": "Hard",
        "type": "multiple-choice",
    }
    assert free.gold == MmmuGold(("24/7", "3.429"))
    assert free.prompt.endswith("\n\nAnswer the question using a single word or phrase.")


def test_mmmu_as_vlmevalkit_asks(tmp_path: Path) -> None:
    choice, _ = read(Benchmark.MMMU, data_sets.mmmu(tmp_path), style=PromptStyle.VLMEVALKIT)
    assert choice.prompt == (
        "Question: Which is like <image 1>?\nOptions:\nA. <image 2>\nB. it's none, really\n"
        "Please select the correct answer from the options above."
    )


def test_mathvista(tmp_path: Path) -> None:
    choice, integer, decimal = read(Benchmark.MATHVISTA, data_sets.mathvista(tmp_path))
    assert choice.gold == MathVistaGold("2 m", "text", None, ("1 m", "2 m"))
    assert choice.prompt == (
        "Hint: Please answer the question and provide the correct option letter, e.g., A, B, C, D,"
        " at the end.\nQuestion: How long?\nChoices:\n(A) 1 m\n(B) 2 m"
    )
    assert integer.gold == MathVistaGold("14", "integer")
    assert integer.prompt.endswith("e.g., 1, 2, 3, at the end.\nQuestion: How long? (Unit: m)")
    assert decimal.gold == MathVistaGold("0.25", "float", 2)
    assert "two decimal places" in decimal.prompt


def test_mathvision(tmp_path: Path) -> None:
    first, second, *_ = read(Benchmark.MATHVISION, data_sets.mathvision(tmp_path))
    assert first.gold == MathVisionGold("0")
    assert second.gold == MathVisionGold("B", ("A", "B", "C", "D", "E"))
    assert first.prompt.startswith(
        'Please solve the problem and put your answer in one "\\boxed{}"'
    )
    # letters that the picture shows are not listed
    assert second.prompt.endswith("beside 1?\n<image 1>")
    assert dict(second.strata) == {"subject": "counting", "level": "2", "type": "multiple choice"}


def test_mathvision_as_its_repository_has_it(tmp_path: Path) -> None:
    folder = data_sets.mathvision_repository(tmp_path)
    first, second = read(Benchmark.MATHVISION, folder, "testmini", PromptStyle.VLMEVALKIT)
    assert first.pictures == second.pictures == (data_sets.SHAPES,)
    assert first.prompt == (
        "Which?\n<image 1>\n(A) x\n(B) y\n"
        "Please try to answer the question with short words or phrases if possible."
    )


def test_olympiadbench(tmp_path: Path) -> None:
    english, chinese = read(Benchmark.OLYMPIADBENCH, data_sets.olympiadbench(tmp_path))
    assert english.id == "OE_MM_physics_en_COMP/7"
    assert english.gold == OlympiadBenchGold("3,4", (0.1, 1e-8))
    assert english.prompt == (
        "The following is an open-ended problem from an International Physics competition. The"
        " problem has multiple answers, with the answers in order being a numerical value, an"
        " expression. Please calculate the answer according to the given requirements and the"
        " information provided. Please use LaTeX format to represent the variables and formulas"
        " used in the solution process and results. Please end your solution with"
        ' "So the final answer is \\boxed{multiple answers connected with commas}(unit)." and give'
        " the result explicitly, note that the unit of the answer should not be included in"
        " \\boxed{}.\nA ball falls.\nHow fast is it? <image 1>"
    )
    assert english.pictures == (data_sets.SHAPES,)
    assert chinese.gold == OlympiadBenchGold("$[1,2]$", (), chinese=True)
    assert chinese.prompt == (
        "以下是中国数学竞赛中的解答题，答案类型为区间。请根据题目的要求和所提供的信息计算得出答案。"
        "解答过程和结果中使用的变量和公式请使用LaTeX格式表示。"
        "请在最后以“所以最终答案是\\boxed{答案}。”显式给出结果。\n多少？"
    )
    assert not chinese.pictures
    assert dict(chinese.strata)["source"] == "entrance examination"


def test_a_folder_without_the_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file of mmmu's split validation"):
        datasets.files_of(Benchmark.MMMU, tmp_path, "validation")


def test_a_damaged_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    for name in ("test-00000-of-00001.parquet", "test.jsonl"):
        folder = tmp_path / name.partition(".")[2]
        folder.mkdir()
        (folder / name).write_bytes(b"nothing of the kind")
        files = datasets.files_of(Benchmark.MATHVISION, folder, "test")
        with pytest.raises(InputError, match=name):
            datasets.outlines(Benchmark.MATHVISION, files, folder)


def test_a_picture_outside_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = data_sets.mathvision_repository(tmp_path / "data")
    (tmp_path / "secret.png").write_bytes(data_sets.SHAPES)
    lines = (folder / "testmini.jsonl").read_text()
    (folder / "testmini.jsonl").write_text(lines.replace("images/1.png", "../secret.png"))
    with pytest.raises(InputError, match="outside"):
        read(Benchmark.MATHVISION, folder, "testmini")


def test_a_question_that_comes_twice_is_refused(tmp_path: Path) -> None:
    folder = data_sets.mathvision_repository(tmp_path)
    lines = (folder / "testmini.jsonl").read_text()
    (folder / "testmini.jsonl").write_text(lines + lines)
    files = datasets.files_of(Benchmark.MATHVISION, folder, "testmini")
    with pytest.raises(InputError, match="'1' comes more than once"):
        datasets.outlines(Benchmark.MATHVISION, files, folder)
