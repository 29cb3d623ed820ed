"""Writes saved runs into one document: a line of JSON each, or Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import InputError
from qvq_mlx.core.remedies import Field
from qvq_mlx.history import Run, attachments, files, find, load
from qvq_mlx.history.exporting import markdown, result_json
from qvq_mlx.history.files import names_in, no_run
from qvq_mlx.history.searching import entries
from qvq_mlx.render.clean import clean, json_text
from qvq_mlx.render.sink import FileSink, StreamSink
from qvq_mlx.run.left_out import warn
from qvq_mlx.run.outputs import NamedFile, check_outputs


def export_runs(
    env: Env, folder: Path, ids: Sequence[str], file: Path | None, *, as_markdown: bool
) -> None:
    """Write the runs of `ids`, without one all of them, to `file`; None: stdout.

    A file appears whole or not at all. Raises InputError and OutputError.
    """
    if not ids and not files(folder):
        raise no_run(folder)
    found = (find(folder, run) for run in ids) if ids else _all(env, folder)
    if file is not None:
        saved = tuple(entries(folder, names_in(folder)))
        pictures = [picture for entry in saved for picture in entry.images]
        runs = [Path(entry.path) for entry in saved]
        kept = attachments.folder_in(folder)
        runs += kept.iterdir() if kept.is_dir() else ()
        check_outputs([NamedFile(Field.OUTPUT, file)], pictures, env, runs)
    sink = StreamSink(env.stdout) if file is None else FileSink(file)
    on_screen = file is None and env.stdout.isatty()
    sink.open()
    try:
        for index, run in enumerate(found):
            if not as_markdown:
                sink.write(json_text(result_json(run)) + "\n")
                continue
            text = ("\n" if index else "") + markdown(run)
            sink.write(clean(text) if on_screen else text)
    except BaseException:
        sink.discard()
        raise
    sink.finish()


def _all(env: Env, folder: Path) -> Iterator[Run]:
    """Every run, oldest first, but for files that cannot be read: stderr names them."""
    for file in files(folder):
        try:
            yield load(file.path)
        except InputError as error:
            warn(env, [error])
