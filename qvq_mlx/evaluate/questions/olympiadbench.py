"""OlympiadBench: the ten open-ended configurations, 6,728 problems; proofs are not scored.

The name of a configuration says it all: `OE_MM_maths_en_COMP` is multimodal (`TO`: text only),
mathematics (or `physics`), English (or `zh`), from a competition (`CEE`: an entrance examination).
"""

from __future__ import annotations

import re
from pathlib import Path

from qvq_mlx.core.errors import InputError
from qvq_mlx.evaluate import rows
from qvq_mlx.evaluate.gold import DEFAULT_TOLERANCE, OlympiadBenchGold
from qvq_mlx.evaluate.question import PromptStyle, Question, Strata

CONFIGURATION = re.compile(r"OE_(MM|TO)_(maths|physics)_(en|zh)_(COMP|CEE)")

_KINDS = {
    "Numerical": ("a numerical value", "数值"),
    "Expression": ("an expression", "表达式"),
    "Equation": ("an equation", "方程"),
    "Interval": ("an interval", "区间"),
}


def name_of(row: rows.Row, origin: str) -> str:
    """Return configuration and number: numbers alone repeat."""
    return f"{_configuration(origin).group()}/{rows.text(row, 'id')}"


def strata(row: rows.Row, origin: str) -> Strata:
    """Return what the configuration says, and the answer's type."""
    modality, subject, language, source = _configuration(origin).groups()
    return (
        ("subject", subject),
        ("language", "Chinese" if language == "zh" else "English"),
        ("modality", "with pictures" if modality == "MM" else "text only"),
        ("source", "competition" if source == "COMP" else "entrance examination"),
        ("answer type", rows.text(row, "answer_type")),
    )


def question(row: rows.Row, origin: str, folder: Path, _: PromptStyle) -> Question:
    """Return a row as a question. VLMEvalKit uses the official prompt."""
    language, subject = _configuration(origin)[3], _configuration(origin)[2]
    chinese, maths = language == "zh", subject == "maths"
    tuple_answer = "Tuple" in rows.text(row, "answer_type")
    gold = OlympiadBenchGold(
        (rows.texts(row, "final_answer") or ("",))[0],
        () if tuple_answer else _tolerances(rows.text(row, "error")),
        chinese,
    )
    context = rows.text(row, "context")
    parts = [_order(row, chinese=chinese, maths=maths)]
    parts += [context] if context and not maths else []
    prompt = "\n".join([*parts, rows.asked(row, "question")])
    pictures = rows.pictures(row, ("images", "image_n", "image"), folder)
    return Question(name_of(row, origin), prompt, pictures, gold, strata(row, origin))


def _configuration(origin: str) -> re.Match[str]:
    """Return the configuration in a file's path. Raises InputError where it names none."""
    found = CONFIGURATION.search(origin)
    if found is None:
        raise InputError(f"{origin}: is named after no configuration such as OE_MM_maths_en_COMP")
    return found


def _tolerances(error: str) -> tuple[float, ...]:
    """Return the accepted errors: none, one, or one per value, an empty one meaning the default."""
    if not error:
        return ()
    return tuple(float(part) if part.strip() else DEFAULT_TOLERANCE for part in error.split(","))


def _order(row: rows.Row, *, chinese: bool, maths: bool) -> str:
    """Return the official instruction. Source: `evaluators/evaluator.py` of the benchmark."""
    several, unit = bool(row.get("is_multiple_answer")), bool(row.get("unit"))
    kinds = _kinds(rows.text(row, "answer_type"), several=several, chinese=chinese)
    if chinese:
        box = "\\boxed{用英文逗号连接的多个答案}" if several else "\\boxed{答案}"
        box += "(单位)" if unit else ""
        note = "，注意答案的单位不要放在\\boxed{}中" if unit else ""
        return (
            f"以下是中国{'数学' if maths else '物理'}竞赛中的解答题{kinds}。"
            "请根据题目的要求和所提供的信息计算得出答案。解答过程和结果中使用的变量和公式请使用LaTeX格式表示。"
            f"请在最后以“所以最终答案是{box}。”显式给出结果{note}。"
        )
    box = "\\boxed{multiple answers connected with commas}" if several else "\\boxed{answer}"
    box += "(unit)" if unit else ""
    note = ", note that the unit of the answer should not be included in \\boxed{}" if unit else ""
    return (
        f"The following is an open-ended problem from an International"
        f" {'Math' if maths else 'Physics'} competition. {kinds}Please calculate the answer"
        " according to the given requirements and the information provided. Please use LaTeX format"
        " to represent the variables and formulas used in the solution process and results. Please"
        f' end your solution with "So the final answer is {box}." and give the result'
        f" explicitly{note}."
    )


def _kinds(answer_type: str, *, several: bool, chinese: bool) -> str:
    """Return the sentence that says what the answer has to be; empty where it would mislead."""
    if "Need_human_evaluate" in answer_type or "Tuple" in answer_type:
        return ""
    named = [
        next((both[chinese] for kind, both in _KINDS.items() if kind in part), "")
        for part in answer_type.split(",")
    ]
    if not all(named):
        return ""
    if not several:
        one = named[0]
        return f"，答案类型为{one}" if chinese else f"The answer of The problem should be {one}. "
    if len(set(named)) == 1:
        if chinese:
            return f"，题目有多个答案，答案类型均为{named[0]}"
        return f"The problem has multiple answers, each of them should be {named[0]}. "
    if chinese:
        return f"，题目有多个答案，答案类型分别为{'、'.join(named)}"
    return f"The problem has multiple answers, with the answers in order being {', '.join(named)}. "
