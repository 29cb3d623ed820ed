"""Shows and empties the cache of image prefixes."""

from __future__ import annotations

from qvq_mlx.core.env import Env
from qvq_mlx.core.sizes import size
from qvq_mlx.engine.cache_files import prefixes_in
from qvq_mlx.render.clean import shown
from qvq_mlx.settings.config import Settings


def show_prefixes(env: Env, settings: Settings) -> None:
    """Print where the cache lies, what it holds and what it may hold."""
    kept = prefixes_in(settings.cache_folder, settings.cache_max_bytes)
    entries = kept.entries()
    held = sum(entry.size_bytes for entry in entries)
    env.stdout.write(shown(str(kept.folder), env.stdout) + "\n")
    env.stdout.write(f"{len(entries)} prefixes, {size(held)} of at most {size(kept.cap_bytes)}\n")


def clear_prefixes(env: Env, settings: Settings) -> None:
    """Remove everything from it, and say how much that was."""
    gone = prefixes_in(settings.cache_folder, settings.cache_max_bytes).clear()
    freed = sum(entry.size_bytes for entry in gone)
    env.stdout.write(f"removed {len(gone)} prefixes, {size(freed)}\n")
