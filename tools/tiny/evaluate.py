"""Measure the shipped model on fresh pictures, asked the way `qvq ask` asks.

Law: an answer counts when the box holds exactly the true answer. Exit status 1 when the overall
share or any task's share is below its threshold. MODEL is a name or a folder, as for `-m`.

    python -m tools.tiny.evaluate [MODEL] [--seed 7] [--count 400] [--kv-bits 8]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict

from qvq_mlx.reply.box import boxed
from tools.tiny.asking import Asked
from tools.tiny.cases import held_out
from tools.tiny.replies import TASKS

OVERALL_THRESHOLD = 0.95
TASK_THRESHOLD = 0.90


def measure(asked: Asked, seed: int, count: int, tasks: tuple[str, ...], misses: int) -> bool:
    """Print the table (and the first misses); True when every threshold is met."""
    right: dict[str, list[bool]] = defaultdict(list)
    began_s = time.time()
    for case in held_out(seed, tasks, count):
        reply = asked.reply(case.image, case.question)
        right[case.task].append(boxed(reply) == case.answer)
        if not right[case.task][-1] and misses > 0:
            misses -= 1
            print(f"- {case.question!r} is {case.answer!r}\n  said {reply!r}")
            print(f"  want {case.thinking!r}")
    shares = {task: sum(rights) / len(rights) for task, rights in right.items()}
    overall = sum(map(sum, right.values())) / count
    print(f"model {asked.model}, seed {seed}, {count} pictures, {time.time() - began_s:.0f} s")
    for task, share in shares.items():
        print(f"{task:12} {share:6.1%}  ({sum(right[task])}/{len(right[task])})")
    print(f"{'overall':12} {overall:6.1%}")
    return overall >= OVERALL_THRESHOLD and min(shares.values()) >= TASK_THRESHOLD


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="measure the shipped tiny model")
    parser.add_argument("model", nargs="?", default="tiny")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--misses", type=int, default=0, help="print so many wrong replies")
    parser.add_argument("--kv-bits", type=int, help="of the cache, from the prompt's end on")
    options = parser.parse_args()
    tasks, asked = tuple(options.tasks), Asked(options.model, options.kv_bits)
    met = measure(asked, options.seed, options.count, tasks, options.misses)
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
