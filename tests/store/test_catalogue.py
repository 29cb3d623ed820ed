"""models, list, show, licence, config, the user's own cards, and the model nobody named."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from qvq_mlx.core.card import Shape
from qvq_mlx.core.errors import ConfigError, ExitCode, ModelNotOnDiskError
from qvq_mlx.memory.machine import hypothetical
from qvq_mlx.records.runs import VERSION
from qvq_mlx.render.rows import cells
from qvq_mlx.run.choose import model_for
from qvq_mlx.settings import config
from qvq_mlx.settings.toml_edit import with_value
from qvq_mlx.store import registry
from tests.conftest import World
from tests.store.test_store import make_snapshot

Build = Callable[..., World]
GIB = 2**30
COMMANDS = (
    ("models",),
    ("models", "--all"),
    ("list",),
    ("show", "qvq"),
    ("show", "qwen3-vl-4b-thinking"),
    ("licence", "qvq"),
    ("fit", "qvq", "--memory", "64GiB"),
    ("config",),
)


def own(tmp_path: Path, name: str, text: str) -> Path:
    folder = tmp_path / "qvq" / "models"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.toml"
    path.write_text(text)
    return path


def test_every_figure_has_a_source_or_is_marked() -> None:
    for card in registry.cards():
        if card.repo:
            assert card.sources
            assert card.shape is not None
            assert card.download_bytes
        assert not card.draft or registry.find(card.draft).name == card.draft
    assert registry.find("tiny").draft == "qvq-tiny-draft"
    assert registry.find("qvq").draft == "qwen2-vl-2b"
    assert registry.find("qwen2-vl-72b-8bit").draft == "qwen2-vl-2b"


@pytest.mark.parametrize("name", ["qvq-tiny", "qvq-tiny-draft"])
def test_a_shape_is_what_the_checkpoint_states(name: str) -> None:
    from qvq_mlx.store.shape import stated_shape

    card = registry.find(name)
    stated = stated_shape(registry.cards_folder() / card.folder)
    assert isinstance(card.shape, Shape)
    assert stated == replace(card.shape, parameters=0)


def test_variants_share_everything_but_their_size() -> None:
    four, eight = registry.find("qvq-4bit"), registry.find("qvq-72b-preview-8bit")
    assert (four.name, four.bits, eight.bits) == ("qvq-72b-preview", 4, 8)
    assert eight == registry.find("QVQ-8bit")
    assert (four.thinking, four.shape, four.base) == (eight.thinking, eight.shape, eight.base)
    assert "download_bytes" in eight.unconfirmed
    assert "download_bytes" not in four.unconfirmed


@pytest.mark.parametrize("columns", [80, 40])
@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_is_wider_than_the_terminal(
    world: Build, command: tuple[str, ...], columns: int
) -> None:
    w = world(tty=True, size=(columns, 24))
    w.env = replace(w.env, machine=lambda: hypothetical(64 * GIB))
    assert w.run(*command) == ExitCode.OK
    plain = re.sub(r"\x1b\[[0-9;]*m", "", w.out)
    widest = max(plain.splitlines(), key=cells)
    assert cells(widest) <= columns, widest
    piped = world()
    piped.env = replace(piped.env, machine=lambda: hypothetical(64 * GIB))
    assert piped.run(*command) == ExitCode.OK
    # a table of models in 80 columns has no room for two columns, and `why` says the rank
    apart = {"licence", "a token", "rank"} if command[0] == "models" and columns == 80 else set()
    lines = [line.split("\t") for line in piped.out.splitlines()]
    kept = [at for at, head in enumerate(lines[0]) if head not in apart]
    text = "\n".join("\t".join(line[at] for at in kept if at < len(line)) for line in lines)
    words = re.findall(r"[\w.]+", text)
    assert set(words[:40]) <= set(re.findall(r"[\w.]+", plain)) | set(words[:10])


@pytest.mark.parametrize("command", COMMANDS)
def test_json_is_one_versioned_object(world: Build, command: tuple[str, ...]) -> None:
    if command == ("models", "--all"):
        return
    w = world()
    assert w.run(*(("config", "list") if command == ("config",) else command), "--json") == 0
    assert json.loads(w.out)["version"] == VERSION


def test_models_in_a_pipe_is_tab_separated(world: Build) -> None:
    w = world()
    w.env = replace(w.env, machine=lambda: hypothetical(48 * GIB))
    assert w.run("models") == ExitCode.OK
    head, *rows = [line.split("\t") for line in w.out.splitlines()]
    assert head == [
        *("model", "size", "fits", "tok/s", "rank", "licence", "here"),  # as always
        *("a token", "MMMU", "why"),
    ]
    found = {row[0]: row for row in rows}
    assert found["qvq-72b-preview"][2].startswith("✗ 1")
    assert found["qwen2.5-vl-7b"][2].startswith("✓")
    assert "qwen3-vl-4b-thinking?" in found
    assert "qvq-72b-preview-8bit" not in found
    why = {
        "qwen3.6-35b": "rank 86, first",
        "qwen3.8-27b": "rank 84",
        "qvq-72b-preview": "3.7 GiB over",
        "qwen2.5-vl-3b": "research only",
        "qwen3-vl-4b-thinking": "no source",
        "qwq-32b": "text only",
        "qvq-tiny": "not ranked",
    }
    assert why.items() <= {name.rstrip("?"): row[-1] for name, row in found.items()}.items()
    assert found["qwen3.6-35b"][7:9] == ["2.1 GiB", "81.7"]


def test_json_says_why_each_model_stands_where_it_does(world: Build) -> None:
    w = world()
    assert w.run("models", "--json", "--memory", "36GB") == ExitCode.OK
    record = json.loads(w.out)
    found = {entry["name"]: entry for entry in record["models"]}
    assert found["qwen3.6-35b"]["standing"] == "first"
    assert found["qwen3.8-27b"]["standing"] == "below"
    assert found["qvq-72b-preview"]["standing"] == "too-large"
    assert found["qwen2.5-vl-72b-3bit"]["standing"] == "too-large"
    assert found["qwq-32b"]["standing"] == "text-only"
    rate = record["machine"]["bandwidth_bytes_per_s"]
    for entry in found.values():
        expected = rate / entry["read_bytes_per_token"] * 0.8
        assert entry["tokens_per_s"] == pytest.approx(expected)
    sparse = found["qwen3.6-35b"]
    assert sparse["read_bytes_per_token"] < sparse["download_bytes"] / 5
    first = {name: e["first_from_bytes"] for name, e in found.items() if e["first_from_bytes"]}
    assert first == {
        "qwen3.5-4b": 8 * GIB,
        "qwen3.5-9b": 16 * GIB,
        "qwen3.6-35b": 32 * GIB,
        "qvq-72b-preview": 64 * GIB,
    }
    assert (found["qvq-72b-preview"]["mmmu"], found["qwen3-vl-235b-4bit"]["mmmu"]) == (70.3, 80.6)
    assert found["qvq-tiny"]["mmmu"] is None


def test_the_source_of_a_published_value_is_on_the_card() -> None:
    valued = [card for card in registry.cards() if card.mmmu]
    assert len({card.base for card in valued}) >= 14
    assert all(card.sources and 0 < card.mmmu < 100 for card in valued)
    # what a name suggests is no measurement of the weights of that name
    assert registry.find("someone/qwen3.6-35b-of-mine").mmmu == 0


def test_list_says_what_is_half_here(world: Build, tmp_path: Path) -> None:
    hub = tmp_path / "hub"
    folder = make_snapshot(hub, "mlx-community/QVQ-72B-Preview-4bit")
    (folder / "tokenizer.json").unlink()
    other = make_snapshot(hub, "someone/else")
    (other / "config.json").write_text('{"model_type": "qwen2_vl"}')
    make_snapshot(hub, "someone/unrelated")
    (hub / "models--mlx-community--Qwen2-VL-2B-Instruct-4bit" / "blobs").mkdir(parents=True)
    w = world(environ={"HF_HUB_CACHE": str(hub)})
    assert w.run("list", "--json") == ExitCode.OK
    found = {entry["name"]: entry for entry in json.loads(w.out)["models"]}
    assert "tokenizer.json" in found["qvq-72b-preview"]["problem"]
    assert found["qvq-72b-preview"]["revision"] == "abc123"
    assert found["qwen2-vl-2b"]["problem"] == "no snapshot"
    assert found["someone/else"]["whole"]
    assert found["qvq-tiny"]["whole"]
    assert "someone/unrelated" not in found


def test_show_marks_what_is_not_confirmed(world: Build) -> None:
    w = world()
    assert w.run("show", "qwen2.5-vl-32b") == ExitCode.OK
    lines = dict(line.split("\t", 1) for line in w.out.splitlines())
    assert lines["repository"].endswith("(unconfirmed)")
    assert lines["layers"].endswith("(unconfirmed)")
    assert not lines["system"].endswith("(unconfirmed)")
    w = world()
    assert w.run("show", "nothing") == ExitCode.NO_MODEL


def test_a_licence_names_its_duties_and_its_text(world: Build, tmp_path: Path) -> None:
    folder = make_snapshot(tmp_path / "hub", "mlx-community/QVQ-72B-Preview-4bit")
    (folder / "LICENSE").write_text("text")
    w = world(environ={"HF_HUB_CACHE": str(tmp_path / "hub")})
    assert w.run("licence", "qvq") == ExitCode.OK
    assert "Built with Qwen" in w.out
    assert str(folder / "LICENSE") in w.out
    w = world()
    assert w.run("licence", "qwen2.5-vl-3b", "--json") == ExitCode.OK
    assert json.loads(w.out)["licence"]["research_only"]


def test_a_card_of_the_users_wins(world: Build, tmp_path: Path) -> None:
    own(tmp_path, "mine", 'name = "qvq-72b-preview"\nsummary = "mine"\nfamily = "qwen2_vl"\n'
        'licence = "own \\u001b[31mterms"\nrepo = "me/mine"\n')  # fmt: skip
    w = world()
    assert w.run("show", "qvq-72b-preview") == ExitCode.OK
    assert "me/mine" in w.out
    assert "\x1b" not in w.out
    w = world()
    assert w.run("show", "qvq-72b-preview-8bit") == ExitCode.OK


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "Invalid value"),
        ('name = "x"\nsummary = ""\nfamily = ""\nlicence = ""\nrank = "high"\n', "rank is 'high'"),
        ('name = "x"\nsummary = ""\nfamily = ""\n', "licence"),
        ('name = "x"\nsummary = ""\nfamily = ""\nlicence = ""\nthinking = 1\n', "no table"),
        ('name = "x"\nsummary = ""\nfamily = ""\nlicence = ""\n[[variants]]\nbit = 4\n', "'bit'"),
        ('name = "x"\nsummary = ""\nfamily = ""\nlicence = ""\nvariants = 4\n', "x.toml"),
        ('name = "x"\nsummary = ""\nfamily = ""\nlicence = ""\nvariants = []\n', "x.toml"),
    ],
)
def test_a_broken_card_is_one_line_with_its_file(
    world: Build, tmp_path: Path, text: str, message: str
) -> None:
    path = own(tmp_path, "x", text)
    w = world()
    assert w.run("models") == ExitCode.OK  # it does without the card
    assert "tiny" in w.out
    (warning,) = w.err.splitlines()
    assert warning.startswith(f"warning: {path} is no model card")
    assert message in warning
    assert warning.endswith("; it is left out")
    w = world()
    assert w.run("show", "x") == ExitCode.USAGE  # and cannot do without the one that is named
    first, hint = w.err.splitlines()
    assert first.startswith(f"error[config]: {path} is no model card")
    assert hint == f"  try: cat {path}"


def test_a_configured_model_is_taken(world: Build) -> None:
    w = world(environ={"QVQ_MODEL": "tiny"})
    assert model_for(w.env, config.read(w.env), None) == "tiny"
    assert model_for(w.env, config.read(w.env), "qvq") == "qvq"


def test_the_best_that_is_here_and_fits_is_taken(world: Build, tmp_path: Path) -> None:
    hub = tmp_path / "hub"
    make_snapshot(hub, "mlx-community/QVQ-72B-Preview-4bit")
    make_snapshot(hub, "mlx-community/Qwen2-VL-2B-Instruct-4bit")
    make_snapshot(hub, "mlx-community/Qwen2.5-VL-3B-Instruct-4bit")
    w = world(environ={"HF_HUB_CACHE": str(hub)})
    for memory, name in ((128, "qvq-72b-preview"), (32, "qwen2-vl-2b")):
        env = replace(w.env, machine=lambda memory=memory: hypothetical(memory * GIB))
        assert model_for(env, config.read(env), None) == name


def test_a_script_is_told_what_to_run(world: Build, tmp_path: Path) -> None:
    Image.new("RGB", (300, 300)).save(tmp_path / "a.png")
    w = world([])
    w.env = replace(w.env, machine=lambda: hypothetical(128 * GIB))
    assert w.run("ask", str(tmp_path / "a.png"), "How many?") == ExitCode.NO_MODEL
    assert "the best fit is qvq-72b-preview, 38.5 GiB, licence Qwen" in w.err
    assert "try: qvq pull qvq-72b-preview" in w.err


@pytest.mark.parametrize(("reply", "pulls"), [(b"y\n", True), (b"\n", False), (b"", False)])
def test_a_person_is_asked_once(world: Build, reply: bytes, pulls: bool) -> None:
    w = world(stdin=reply, tty=True, err_tty=True)
    w.env.stdin.isatty = lambda: True  # type: ignore[method-assign]
    env = replace(w.env, machine=lambda: hypothetical(128 * GIB))
    pulled: list[str] = []
    if pulls:
        name = model_for(env, config.read(env), None, lambda card: pulled.append(card.name))
        assert [name] == pulled == ["qvq-72b-preview"]
    else:
        with pytest.raises(ModelNotOnDiskError):
            model_for(env, config.read(env), None, lambda card: pulled.append(card.name))
        assert pulled == []
    assert w.err.count("[y/N]") == 1
    assert "38.5 GiB, licence Qwen" in w.err


def test_config_sets_gets_and_unsets(world: Build, tmp_path: Path) -> None:
    path = tmp_path / "qvq" / "config.toml"
    assert world().run("config", "set", "model", "tiny") == ExitCode.OK
    assert world().run("config", "set", "save", "0") == ExitCode.OK
    assert path.read_text() == 'model = "tiny"\nsave = false\n'
    path.write_text('# mine\nmodel = "tiny"  # small # one\n\nsave = false\n')
    config.store(world().env, "model", 'a "b" #c')
    assert path.read_text() == '# mine\nmodel = "a \\"b\\" #c"  # small # one\n\nsave = false\n'
    w = world()
    assert w.run("config", "get", "model") == ExitCode.OK
    assert w.out == 'a "b" #c\n'
    w = world(environ={"QVQ_MODEL": "other"})
    assert w.run("config", "get", "model") == ExitCode.OK
    assert w.out == "other\n"
    assert world().run("config", "unset", "model") == ExitCode.OK
    assert path.read_text() == "# mine\n\nsave = false\n"
    w = world()
    assert w.run("config", "path") == ExitCode.OK
    assert w.out == f"{path}\n"
    assert [entry.name for entry in path.parent.iterdir()] == ["config.toml"]
    w = world(environ={"QVQ_THINKING": "line"})
    assert w.run("config", "list") == ExitCode.OK
    assert w.out.splitlines()[1:] == [
        "model\t\tdefault",
        "thinking\tline\tQVQ_THINKING",
        f"save\tfalse\t{path}",
        "plain\tfalse\tdefault",
        "notify\ttrue\tdefault",
        "backup\ttrue\tdefault",
        "host\t\tdefault",
        "budget\t\tdefault",
        "detail\t\tdefault",
        "temperature\t\tdefault",
        "lang\t\tdefault",
    ]


def test_config_keeps_a_link_a_link(world: Build, tmp_path: Path) -> None:
    real = tmp_path / "dotfiles.toml"
    real.write_text("save = true\n")
    (tmp_path / "qvq").mkdir()
    link = tmp_path / "qvq" / "config.toml"
    link.symlink_to(real)
    assert world().run("config", "set", "save", "no") == ExitCode.OK
    assert link.is_symlink()
    assert real.read_text() == "save = false\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("get",), "get takes KEY"),
        (("set", "model"), "set takes KEY and VALUE"),
        (("path", "model"), "path takes nothing more"),
        (("get", "colour"), "unknown key 'colour'"),
        (("set", "colour", "red"), "unknown key 'colour'"),
        (("set", "thinking", "some"), "tail, full, line, none"),
        (("set", "save", "perhaps"), "it can be 0 or 1"),
        (("set", "model", ""), "model is ''"),
        (("set", "model", "a\nb"), "model is"),
        (("get", "model", "--json"), "--json goes with list"),
    ],
)
def test_config_refuses(world: Build, arguments: tuple[str, ...], message: str) -> None:
    w = world()
    assert w.run("config", *arguments) == ExitCode.USAGE
    assert message in w.err


def test_a_wrong_file_is_not_made_worse(world: Build, tmp_path: Path) -> None:
    (tmp_path / "qvq").mkdir()
    path = tmp_path / "qvq" / "config.toml"
    path.write_text("saves = false\n")
    w = world()
    with pytest.raises(ConfigError, match="saves"):
        config.store(w.env, "model", "tiny")
    assert path.read_text() == "saves = false\n"


def test_a_key_that_is_not_known_stays_where_it_is(world: Build, tmp_path: Path) -> None:
    (tmp_path / "qvq").mkdir()
    path = tmp_path / "qvq" / "config.toml"
    path.write_text("colour = 1\n")
    config.store(world().env, "model", "tiny")
    assert path.read_text() == 'colour = 1\nmodel = "tiny"\n'


@given(
    st.sampled_from(['a = "1"\n', "# only\n", 'b = 1 # "x"\na = true#c', "", "[t]\na = 2\n"]),
    st.one_of(st.none(), st.booleans(), st.text(st.characters(codec="utf-8"), max_size=20)),
)
def test_an_edit_changes_one_key(text: str, value: str | bool | None) -> None:
    import tomllib

    before = tomllib.loads(text)
    try:
        after = tomllib.loads(with_value(text, "a", value))
    except ValueError:
        return  # refused, not wrong
    rest = {key: item for key, item in before.items() if key != "a"}
    assert after == (rest if value is None else rest | {"a": value})
