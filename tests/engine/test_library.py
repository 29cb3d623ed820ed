"""mlx-vlm's classes come without the rest of it, and leave the rest to whoever wants it."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
from qvq_mlx.engine.library import family_package, new_cache, versions
one, two = family_package("qwen2_vl"), family_package("qwen3_vl")
print(one.Model.__module__, two.Model.__module__, family_package("qwen2_vl") is one)
print([name for name in ("mlx_vlm", "transformers", "urllib3") if name in sys.modules])
import mlx.core as mx
sparse = family_package("qwen3_vl_moe")
home = sparse.LanguageModel.__module__.replace("mlx_vlm", "mlx_vlm_classes")
experts = vars(sys.modules[home])["SwitchGLU"](32, 32, 2)
experts.eval()
print(experts(mx.zeros((1, 3, 32)), mx.zeros((1, 3, 1), dtype=mx.int32)).shape)
print([name for name in ("mlx_vlm", "transformers", "urllib3") if name in sys.modules])
family_package("qwen3_5_moe")
print([name for name in ("mlx_vlm", "transformers", "urllib3") if name in sys.modules])
import mlx_vlm
import mlx_vlm.models.qwen2_vl as whole
print(hasattr(mlx_vlm, "load"), whole.Model is one.Model, hasattr(mlx_vlm, "__version__"))
print([name for name in ("mlx_vlm", "transformers") if name in sys.modules])
print(whole.processing_qwen2_vl.Qwen2VLProcessor.__name__)
print(family_package("qwen2_5_vl").Model.__module__, versions().count("."))
assert sys.modules["mlx_vlm"] is mlx_vlm and hasattr(mlx_vlm, "load")
"""


def test_a_family_is_imported_alone_and_the_library_stays_whole() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "mlx_vlm.models.qwen2_vl.qwen2_vl mlx_vlm.models.qwen3_vl.qwen3_vl True",
        "[]",
        "(1, 3, 1, 32)",
        "[]",
        "[]",
        "True False True",
        "['mlx_vlm', 'transformers']",
        "Qwen2VLProcessor",
        "mlx_vlm.models.qwen2_5_vl.qwen2_5_vl 4",
    ]
