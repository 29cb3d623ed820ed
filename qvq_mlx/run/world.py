"""Opens the world for a command: what each of them has to do before anything else.

Law: the network is forbidden before a command begins where the environment forbids it, whatever the
command and whether or not its settings can be read. Every command gets its streams and its settings
from here, and has no other way to them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import ConfigError, UsageError
from qvq_mlx.settings import config
from qvq_mlx.settings.config import Settings

if TYPE_CHECKING:  # most commands forbid nothing
    from qvq_mlx.core.machine import Machine
    from qvq_mlx.core.network import Network
    from qvq_mlx.core.request import Limits, Method, Think


@dataclass(slots=True)
class World:
    """The streams and clocks of a command, and the settings that hold for it.

    `network` tells what was tried since connections are refused; None: they are allowed.
    `kv_bits` are those of the cache of every question of this command.
    """

    env: Env
    network: Callable[[], Network] | None
    _settings: Settings | ConfigError
    _said: bool = False
    kv_bits: int | None = None

    @property
    def settings(self) -> Settings:
        """The settings in force. Raises ConfigError for a value that is not allowed.

        Whoever asks first has stderr name the keys of the file that are not known.
        """
        if isinstance(self._settings, ConfigError):
            raise self._settings
        if self._settings.unknown and not self._said:
            self._said = True
            self._say_unknown(self._settings.unknown)
        return self._settings

    @property
    def settings_or_defaults(self) -> Settings:
        """The settings; where they cannot be read, the defaults in the user's places."""
        if isinstance(self._settings, ConfigError):
            return config.defaults(self.env)
        return self._settings

    @property
    def option_defaults(self) -> dict[str, dict[str, str]]:
        """The user's own defaults of options, by command; none where settings cannot be read.

        A question reads its `detail` itself: as an option it would need an image. A budget gives
        way, which what was typed does not, so the commands are told of it by its own name.
        """
        if isinstance(self._settings, ConfigError):
            return {}
        usual = {key: text for key, text in self._settings.options if key != "budget"}
        asked = {key: text for key, text in usual.items() if key != "detail"}
        return {"ask": asked, "chat": usual, "batch": usual}

    @property
    def detail(self) -> str | None:
        """The user's own default of a picture's detail. Raises ConfigError."""
        return dict(self.settings.options).get("detail")

    def limits(
        self, budget: str | None, answer_tokens: int, max_tokens: int | None, think: Think | None
    ) -> Limits:
        """Build the limits; where no budget is given, it is the user's own default of it.

        Raises UsageError or ConfigError.
        """
        from qvq_mlx.run.groups import limits_of

        usual = dict(self.settings.options).get("budget")
        return limits_of(budget, answer_tokens, max_tokens, think, usual)

    def method(
        self,
        vote: int | None = None,
        schema: str | None = None,
        lang: str = "auto",
        *,
        double_check: bool = False,
        look: str = "auto",
    ) -> Method:
        """Build the method, with the cache of this command. Raises UsageError."""
        from qvq_mlx.run.groups import method_of

        found = method_of(vote, schema, lang, double_check=double_check, look=look)
        return replace(found, kv_bits=self.kv_bits)

    def _say_unknown(self, keys: tuple[str, ...]) -> None:
        from qvq_mlx.render.clean import clean_line

        for key in keys:
            found = config.unknown_key(config.path_of(self.env), key)
            said = self.env.spelling.sentence(found.parts)
            remedy = self.env.spelling.remedy(found.remedy)
            self.env.stderr.write(f"warning: {clean_line(said)}\n  try: {clean_line(remedy)}\n")

    def share_out(self, hostfile: str) -> None:
        """Load models onto the machines of MLX's `hostfile`. Raises UsageError.

        What does not fit this one, the first, is refused before; the others are asked later.
        """
        from qvq_mlx.core.remedies import Field
        from qvq_mlx.run.hosts import loader, read_hosts

        if self.network is not None:
            raise UsageError.excluding(Field.HOSTS, Field.OFFLINE)
        path, alone = Path(hostfile), self.env.machine
        hosts = read_hosts(path)

        def first() -> Machine:
            return replace(alone(), sharing=len(hosts.hosts))

        self.env = replace(self.env, load_engine=loader(hosts), machine=first, hostfile=path)

    def quantise(self, kv_bits: int) -> None:
        """Have every question keep its cache in so many bits. Raises UsageError."""
        from qvq_mlx.run.groups import check_kv_bits

        check_kv_bits(kv_bits)
        self.kv_bits = kv_bits

    def forbid_network(self) -> None:
        """Refuse every connection of this process from now on. May be called again.

        Raises UsageError where a model is to be split among machines.
        """
        if self.env.hostfile is not None:
            from qvq_mlx.core.remedies import Field

            raise UsageError.excluding(Field.HOSTS, Field.OFFLINE)
        if self.network is None:
            # the watch comes first: what refuses a connection hides it from later hooks
            self.network = self.env.watch_network()
            self.env.forbid_network()


def open_world(env: Env) -> World:
    """Read the settings, refuse the network where a variable says so, and take the terminal as the
    user wants it: not drawn over where lines shall be plain.

    Never raises: what is wrong with the settings is told when they are asked for.
    """
    settings: Settings | ConfigError
    try:
        settings = config.read(env)
    except ConfigError as error:
        settings = error
    else:
        if settings.plain:
            env = replace(env, environ={**env.environ, "TERM": "dumb"})
    world = World(env, None, settings)
    if config.offline_variable(env):
        world.forbid_network()
    return world
