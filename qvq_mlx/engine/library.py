"""mlx-vlm's model classes and its KV cache, and nothing else of it.

Law: nothing here imports transformers, huggingface_hub or any other network module, and asking a
model needs none of them: prompts, pictures, sampling and text are this project's own.

`import mlx_vlm` runs 800 further modules before the first class is reached: a second or two, and
sockets within reach. The classes themselves need mlx, numpy and Pillow. So they are imported with
the package's `__init__` and its processors left out, as a copy of their own: whoever imports
mlx_vlm besides gets the whole of it, untouched. Some classes import a neighbour only when they run
(sparse experts, at their first block of tokens); that has to reach the copy too.

Without Metal, MLX compiles the functions that the classes mark for it with the system's C++
compiler, and loads the libraries from $TMPDIR/mlx by names that anybody can foretell: where /tmp is
shared, another user's library. So there they run as they are, which needs no compiler either.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any, assert_never

import mlx.core as mx

from qvq_mlx.core.card import KV_GROUPS
from qvq_mlx.families.family import LayerCache

_PACKAGE = "mlx_vlm"
_LATE = "mlx_vlm_classes"
"""Name of the copy for its own functions that import a neighbour while they run."""
_BARE = (_PACKAGE, f"{_PACKAGE}.speculative")
"""Packages whose `__init__` imports all of mlx-vlm, and which the model classes lie in or use."""
if not mx.metal.is_available():
    mx.disable_compile()

_LOCK = threading.Lock()
_wrapped: set[ModuleType] = set()  # of the copy, whose attention was replaced
_copy: dict[str, ModuleType] = {}  # what sys.modules holds of mlx_vlm while a part is imported


def family_package(name: str) -> Any:
    """`mlx_vlm.models.<name>`: its Model, ModelConfig and so forth."""
    return _part(f"{_PACKAGE}.models.{name}")


def new_cache(layers: Sequence[LayerCache]) -> list[Any]:
    """An empty cache for each layer of a language model."""
    return [_layer_cache(layer) for layer in layers]


def quantised(cache: Any, bits: int) -> Any:
    """Return the keys and values of a layer in so many bits each, and a scale and a bias for each
    `KV_GROUPS` of them: a cache that goes on so.
    """
    width = cache.keys.shape[-1]
    group = next(size for size in KV_GROUPS if width % size == 0)
    return cache.to_quantized(group_size=group, bits=bits)


def wrap_attention(wrapped: Callable[[Callable[..., mx.array]], Callable[..., mx.array]]) -> None:
    """Put what `wrapped` makes of it in the place of mlx-vlm's attention, in every model class that
    is imported and has none of it yet.
    """
    name = "scaled_dot_product_attention"
    for module in _copy.values():
        plain = vars(module).get(name)
        if plain is not None and module not in _wrapped:
            setattr(module, name, wrapped(plain))
            _wrapped.add(module)


def versions() -> str:
    """Of mlx and mlx-vlm. Not from the installed distributions: reading those loads sockets."""
    return f"mlx {mx.__version__}, mlx-vlm {_part(f'{_PACKAGE}.version').__version__}"  # type: ignore[attr-defined]


def _layer_cache(layer: LayerCache) -> Any:
    match layer:
        case LayerCache.KEYS_VALUES:
            return _part(f"{_PACKAGE}.models.cache").KVCache()
        case LayerCache.RECURRENT:
            from qvq_mlx.engine.recurrent import RecurrentCache

            return RecurrentCache()
        case _:
            assert_never(layer)


def _part(name: str) -> Any:
    with _LOCK:
        if name not in _copy:
            with _own_copy():
                base: Any = importlib.import_module(f"{_PACKAGE}.models.base")
                base.install_auto_processor_patch = _install_nothing
                importlib.import_module(name)
        return _copy[name]


@contextmanager
def _own_copy() -> Iterator[None]:
    """Within, `mlx_vlm` means the copy; afterwards what it meant before."""
    theirs = _taken_out()
    sys.modules.update(_copy or {name: _bare_package(name) for name in _BARE})
    sys.meta_path.insert(0, _NoProcessors())
    try:
        yield
    finally:
        del sys.meta_path[0]
        _copy.update(_taken_out())
        sys.modules.update(theirs)
        _find_each_other_later()


def _find_each_other_later() -> None:
    """Relative imports from within the copy lead to the copy, for good."""
    for name, module in _copy.items():
        spec = module.__spec__
        late = f"{_LATE}{name.removeprefix(_PACKAGE)}"
        sys.modules[late] = module
        module.__package__ = late if hasattr(module, "__path__") else late.rpartition(".")[0]
        if spec is not None and not spec.name.startswith(_LATE):
            module.__spec__ = importlib.machinery.ModuleSpec(
                late, spec.loader, origin=spec.origin, is_package=hasattr(module, "__path__")
            )


def _taken_out() -> dict[str, ModuleType]:
    names = [name for name in sys.modules if name.partition(".")[0] == _PACKAGE]
    return {name: sys.modules.pop(name) for name in names}


def _bare_package(name: str) -> ModuleType:
    """A package of mlx-vlm, or all of it, without what its `__init__` imports."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError("mlx-vlm is not installed")
    package = ModuleType(name)
    inner = name.removeprefix(_PACKAGE).replace(".", "/")
    package.__path__ = [f"{place}{inner}" for place in spec.submodule_search_locations]
    return package


class _NoProcessors(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds an empty module for everything that prepares a processor of transformers'."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        """A spec for a processor's module, else None."""
        del path, target
        package, _, name = fullname.rpartition(".")
        if not (package.startswith(_PACKAGE) and name.startswith("processing_")):
            return None
        return importlib.machinery.ModuleSpec(fullname, self)

    def exec_module(self, module: ModuleType) -> None:
        """Leave it empty: whatever is imported from it is nothing."""
        vars(module)["__getattr__"] = _nothing


def _nothing(name: str) -> None:
    """Return None for every name of a processor's module but the import system's own."""
    if name.startswith("__"):
        raise AttributeError(name)


def _install_nothing(model_type: str, processor: None) -> None:
    """In place of what would import transformers, to teach it a processor."""
    del model_type, processor
