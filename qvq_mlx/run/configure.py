"""Show and change the settings."""

from __future__ import annotations

from qvq_mlx.core.env import Env
from qvq_mlx.records.models import ConfigRecord
from qvq_mlx.render import listing
from qvq_mlx.render.clean import shown
from qvq_mlx.run.world import World
from qvq_mlx.settings import config as settings
from qvq_mlx.store import registry


def get(env: Env, key: str) -> None:
    """Print the value of a setting. Raises ConfigError for an unknown key."""
    settings.check_key(key)
    found = {setting.key: setting.value for setting in settings.described(env)}
    if (value := found[key]) is not None:
        env.stdout.write(shown(value, env.stdout) + "\n")


def check_model(world: World, name: str) -> None:
    """Raise a ModelError where no model is called so, be it here or to be fetched."""
    settings.checked("model", name)
    registry.find(name, world.settings_or_defaults.cards_folder)


def set_key(env: Env, key: str, text: str | None) -> None:
    """Change a setting in the config file; None takes it out. Raises ConfigError."""
    value = None if text is None else settings.checked(key, text)
    if key == "backup" and (value is not None or not settings.read(env).backup):
        from qvq_mlx.run.backup import set_backup

        models = settings.read(env).hub_cache
        set_backup(models, env.environ.get("PATH"), wanted=value is not False)
    settings.store(env, key, value)
    if text is None and key not in settings.KEYS:
        return
    source = next(s.source for s in settings.described(env) if s.key == key)
    if source.startswith("QVQ_") and env.stderr.isatty():
        env.stderr.write(f"note: {source} is set and goes before the file\n")


def show_all(env: Env, *, as_json: bool) -> None:
    """Print the settings in force, and where each comes from."""
    found = settings.described(env)
    if as_json:
        listing.write_json(env, ConfigRecord(found))
        return
    rows = [(s.key, "" if s.value is None else s.value, s.source) for s in found]
    listing.write_table(env, ("key", "value", "from"), rows)
