"""`qvq log rerun`: the same question again, to the same model or another, and both answers.

Law: the same is asked of the same bytes. An image that is not what it was, by its SHA-256, is
refused, unless the user says that it may have changed; one that is gone is refused. What the user
had set is set again; what the model chose by itself, the model that is asked now chooses.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from qvq_mlx.core.errors import ImageNotFoundError, ImageUnreadableError, QvqError
from qvq_mlx.core.records import ImageRecord, Json, RequestRecord
from qvq_mlx.core.request import Output, OutputForm, Request, SamplingOverrides, ThinkingView

if TYPE_CHECKING:
    from qvq_mlx.config import Settings
    from qvq_mlx.core.env import Env
    from qvq_mlx.core.look import Look
    from qvq_mlx.history import Run
    from qvq_mlx.render.beside import Side


def ask_again(
    env: Env, prefix: str | None, model: str | None, *, changed: bool, as_json: bool
) -> int:
    """Returns the exit code of the new run. Raises a QvqError where it has no whole answer."""
    from qvq_mlx import config, history
    from qvq_mlx.cli.run import run as ask
    from qvq_mlx.history.exporting import result
    from qvq_mlx.render.beside import write_beside
    from qvq_mlx.render.clean import json_text

    settings = config.read(env)
    folder = settings.history_folder
    run = history.last(folder) if prefix is None else history.find(folder, prefix)
    sources = _sources(run, folder, changed=changed)
    request = _request(run.request, sources, model)
    if not as_json and not env.stdout.isatty():
        return ask(request, Output(), env, settings)
    now, failure = _result(request, env, settings)
    if now is not None and as_json:
        both = {"version": 1, "earlier": asdict(result(run)), "again": now}
        env.stdout.write(json_text(both, indent=2) + "\n")
    elif now is not None:
        write_beside(_side(f"then: {run.id}", asdict(result(run))), _side("now", now), env)
    if failure is not None:
        raise failure
    return 0


@dataclass(frozen=True, slots=True)
class _Source:
    """What stands for a source of the earlier run, and how it is looked at."""

    path: str
    look: Look


def _request(then: RequestRecord, sources: list[_Source], model: str | None) -> Request:
    given = then.given
    return Request(
        question=then.question,
        images=tuple(source.path for source in sources),
        model=model or then.model_argument or then.model,
        # a run of an earlier version does not say what was given: what it used is taken
        system=given.system if given else (then.system or ""),
        max_tokens=given.max_tokens if given else then.max_tokens,
        sampling=given.sampling if given else SamplingOverrides(**asdict(then.sampling)),
        lang=then.lang,
        schema=then.schema or "",
        draft=then.draft,
        budget=given.budget if given else None,
        answer_tokens=then.answer_tokens,
        votes=then.votes,
        verify=then.verify,
        looks=tuple(source.look for source in sources) or then.looks,
    )


def _sources(run: Run, folder: Path, *, changed: bool) -> list[_Source]:
    """The sources in order: the pictures of several pages of one file are one source again."""
    found: list[_Source] = []
    before: ImageRecord | None = None
    looks = run.request.looks
    for image in run.request.images:
        if before is not None and _goes_on(before, image):
            before = image
            continue
        before = image
        look = looks[min(len(found), len(looks) - 1)]
        found.append(_Source(_same_bytes(run, image, folder, changed=changed), look))
    return found


def _goes_on(before: ImageRecord, image: ImageRecord) -> bool:
    """Whether this is a later page of the same file."""
    if before.page is None or image.page is None or before.page >= image.page:
        return False
    return (before.path, before.sha256) == (image.path, image.sha256)


def _same_bytes(run: Run, image: ImageRecord, folder: Path, *, changed: bool) -> str:
    """A path that holds what the earlier run saw. Raises an InputError."""
    from qvq_mlx.history.erasing import picture_of

    kept = picture_of(folder, image.sha256)
    if image.path == "-" and image.absolute_path is None:
        if kept is None:
            raise ImageNotFoundError(
                f"the image of run {run.id} was piped in, and its bytes were not kept",
                f"qvq log show {run.id}",
            )
        return str(kept)
    path = Path(image.absolute_path or image.path)
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        if kept is not None:
            return str(kept)
        reason = (error.strerror or str(error)).lower()
        raise ImageNotFoundError(
            f"{path}, which run {run.id} was about, cannot be read: {reason}",
            f"qvq log show {run.id}",
        ) from error
    if digest != image.sha256 and not changed:
        raise ImageUnreadableError(
            f"{path} has changed since run {run.id}"
            f" (sha256 {image.sha256[:8]}… then, {digest[:8]}… now)",
            f"qvq log rerun {run.id} --changed",
        )
    return str(path)


def _result(request: Request, env: Env, settings: Settings) -> tuple[Json | None, QvqError | None]:
    """The new run as `--json` prints it, and how it failed. It is watched on stderr meanwhile."""
    from qvq_mlx.cli.run import run as ask

    document = io.StringIO()
    view = ThinkingView.TAIL if env.stderr.isatty() else None
    failure = None
    try:
        ask(request, Output(OutputForm.JSON, view), replace(env, stdout=document), settings)
    except QvqError as error:
        failure = error
    text = document.getvalue()
    return (json.loads(text) if text else None), failure


def _side(title: str, found: Json) -> Side:
    from qvq_mlx.render.beside import Side
    from qvq_mlx.render.meter import spelled

    stats = found["stats"]
    facts = [
        f"thought for {spelled(stats['thinking_s'])}",
        f"{stats['thinking_tokens']:,} + {stats['answer_tokens']:,} tokens",
        f"ended: {found['stop_reason']}",
    ]
    return Side(f"{title} · {found['model']}", " · ".join(facts), found["answer"])
