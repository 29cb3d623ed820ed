"""The second of two machines: for each checkpoint it reads its part, and follows the first.

    MLX_HOSTFILE=... MLX_RANK=1 python -m tests.engine.split_rank FOLDER...

It is told by lines at its standard input, and says how many bytes of layers it holds.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import mlx.core as mx
from mlx.utils import tree_flatten

from qvq_mlx.core.errors import UnsupportedModelError
from qvq_mlx.engine.follower import Follower, load_layers


def nbytes(module: object) -> int:
    return sum(array.nbytes for _, array in tree_flatten(module.parameters()))  # type: ignore[attr-defined]


def main() -> None:
    group = mx.distributed.init(strict=True, backend="ring")
    for folder in sys.argv[1:]:
        try:
            language = load_layers(Path(folder), group)
        except UnsupportedModelError as error:
            print(error, flush=True)
            continue
        print(sum(map(nbytes, language._model.model.layers)), flush=True)
        follower = Follower(language)
        while (told := json.loads(sys.stdin.readline()))["do"] != "leave":
            follower.do(told)


if __name__ == "__main__":
    main()
