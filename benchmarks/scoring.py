"""How far the rules of `qvq_mlx.evaluate.scoring` agree with the benchmarks' own verdicts.

    python -m benchmarks.scoring FOLDER

FOLDER holds answers of models with the official verdicts, and official examples, as the
benchmarks' repositories publish them; what is missing is passed over:

    mathvision/test.jsonl, mathvision/graded/*.jsonl      response, correct
    mathvista/graded/*.json                               response, extraction, true_false
    mmmu/*_outputs.json, mmmu/*_total_val_output.json     response, and the letter parsed from it
    olympiadbench/scoring_examples.json                   GT, Ans
    vectors.json                                          inputs, and what official code returned

Every disagreement is printed. An official random guess is counted apart: it is no answer here.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qvq_mlx.evaluate import scoring
from qvq_mlx.evaluate.gold import MathVisionGold, MathVistaGold, OlympiadBenchGold, Verdict
from qvq_mlx.evaluate.scoring import mathvision, mathvista, mmmu, olympiadbench


@dataclass(slots=True)
class Agreement:
    """How often a rule said what the official code said."""

    name: str
    total: int = 0
    apart: list[str] = field(default_factory=list)

    def count(self, where: str, found: object, official: object) -> None:
        """Add one comparison."""
        self.total += 1
        if found != official:
            self.apart.append(f"{where}: {found!r}, officially {official!r}")

    def report(self, *, listed: bool = True) -> None:
        """Print the share, and where the two differ."""
        if not self.total:
            return
        agreed = self.total - len(self.apart)
        print(f"{self.name:44} {agreed:6,} of {self.total:6,}  {agreed / self.total:8.3%}")
        for line in self.apart if listed else ():
            print(f"    {line[:200]}")


def of_mathvision(folder: Path) -> None:
    """From the response to the verdict, by the official rules; and the canonical reading."""
    strict, canonical = Agreement("mathvision, strict"), Agreement("mathvision, canonical")
    gold = {
        str(row["id"]): MathVisionGold(str(row["answer"]), tuple(row["options"]))
        for row in _lines(folder / "test.jsonl")
    }
    for path in sorted((folder / "graded").glob("*.jsonl")):
        for row in _lines(path):
            where, key = f"{path.stem} {row['id']}", gold[str(row["id"])]
            found = mathvision.extracted(row["response"])
            strict.count(where, mathvision.is_correct(found, key), row["correct"])
            reading = scoring.canonical_reading(key, row["response"])
            canonical.count(where, reading.verdict is Verdict.CORRECT, row["correct"])
    strict.report()
    canonical.report(listed=False)


def of_mathvista(folder: Path) -> None:
    """From the recorded extraction on; and from the response on, as far as a rule can."""
    strict, ruled = (
        Agreement("mathvista, from the extraction"),
        Agreement("mathvista, by rule alone"),
    )
    for path in sorted((folder / "graded").glob("*.json")):
        for key, row in _json(path).items():
            precision = None if row["precision"] is None else int(row["precision"])
            choices = tuple(row["choices"] or ())
            gold = MathVistaGold(row["answer"], row["answer_type"], precision, choices)
            found = mathvista.is_correct(str(row["extraction"]), gold)
            strict.count(
                f"{path.stem} {key} ({row['extraction'][:40]!r})", found, row["true_false"]
            )
            reading = scoring.canonical_reading(gold, str(row["response"]))
            ruled.count(f"{path.stem} {key}", reading.verdict is Verdict.CORRECT, row["true_false"])
    strict.report()
    ruled.report(listed=False)


def of_mmmu(folder: Path) -> None:
    """The letter that the official parser found in each response."""
    parsed, guessed = Agreement("mmmu, the letter"), 0
    for path in sorted(folder.glob("*_total_val_output.json")):
        letters = _json(path)
        for row in _json(path.with_name(path.name.replace("total_val_output", "outputs"))):
            if row["question_type"] != "multiple-choice":
                continue
            found = mmmu.letter(row["response"], row["index2ans"])
            if found is None:
                guessed += 1
            else:
                parsed.count(row["id"], found, letters[row["id"]])
    parsed.report()
    if guessed:
        print(f"    {guessed} responses have no letter; the official parser guesses one")


def of_olympiadbench(folder: Path) -> None:
    """The official judge's own examples."""
    judged = Agreement("olympiadbench, the judge's examples")
    path = folder / "scoring_examples.json"
    for row in _json(path) if path.exists() else ():
        for given in row["Ans"]:
            gold = OlympiadBenchGold(row["GT"], _tolerances(given.get("precision")))
            found = olympiadbench.is_correct(given["answer"], gold)
            judged.count(f"{row['GT']} | {given['answer']}", found, given["equal"])
    judged.report()


def of_vectors(path: Path) -> None:
    """Single inputs, and what the official functions returned."""
    all_of = _json(path) if path.exists() else {}
    for name, group in all_of.items():
        compared = Agreement(f"vectors, {name}")
        cases = group["cases"] if isinstance(group, dict) and "cases" in group else group
        if name in ("note", "sources"):
            continue
        for case in cases:
            compared.count(json.dumps(case, ensure_ascii=False), *_of_case(name, group, case))
        compared.report()


def _of_case(name: str, group: dict[str, Any], case: dict[str, Any]) -> tuple[object, object]:
    """What the rules say of a case, and what the official function returned."""
    match name:
        case "mmmu_mc":
            found = mmmu.letter(case["response"], group["choices"])
            return found or "RANDOM", case["parsed"]
        case "mmmu_open":
            gold = case["gold"] if isinstance(case["gold"], list) else [case["gold"]]
            return mmmu.is_open_answer_correct(case["response"], tuple(gold)), case["correct"]
        case "mathvision_extract":
            return mathvision.extracted(case["response"]), case["extracted"]
        case "mathvision_is_equal":
            return mathvision.is_equal(case["a"], case["b"]), case["equal"]
        case "mathvista_normalize":
            precision = None if case["precision"] is None else int(case["precision"])
            choices = tuple(case["choices"] or ())
            gold_form = MathVistaGold("", case["answer_type"], precision, choices)
            return mathvista.normalised(case["extraction"], gold_form), case["normalized"]
        case "olympiad_judge":
            judged = OlympiadBenchGold(case["gold"], _tolerances(case["precision"]))
            return olympiadbench.is_correct(case["response"], judged), case["correct"]
        case "vlmevalkit_can_infer":
            return mmmu.inferred(case["response"], group["choices"]) or False, case["inferred"]
        case _:
            raise ValueError(f"no rule is known for {name}")


def _tolerances(precision: float | str | list[float] | None) -> tuple[float, ...]:
    if precision is None:
        return ()
    return tuple(map(float, precision)) if isinstance(precision, list) else (float(precision),)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if path.exists():
        with path.open(encoding="utf-8") as file:
            yield from map(json.loads, file)


def _json(path: Path) -> Any:  # noqa: ANN401 - files of other people
    return json.loads(path.read_text(encoding="utf-8"))


def main() -> None:
    """Compare all that is in the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    of_mathvision(folder / "mathvision")
    of_mathvista(folder / "mathvista")
    of_mmmu(folder / "mmmu")
    of_olympiadbench(folder / "olympiadbench")
    of_vectors(folder / "vectors.json")


if __name__ == "__main__":
    main()
