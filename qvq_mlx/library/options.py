"""Options of a question beside those that are arguments."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from qvq_mlx.core.request import Policy, PromptOptions, Request, SamplingOverrides, Think
from qvq_mlx.run.groups import image_options_of, limits_of, method_of

Schema = Mapping[str, object]
"""A JSON schema, as `json.loads` gives it."""


@dataclass(frozen=True, slots=True)
class Options:
    """Options with the names, defaults and values that `qvq ask --help` explains.

    `detail`, `crop` and `page` hold for every image, in the words of the command: `"high"`,
    `"10%,10%,50%,50%"`, `"1-3"`. `offline` fetches no image from the web. `save` keeps the run in
    the history of `qvq log`; False leaves nothing there. `kv_bits` 8 or 4 keeps less of each token
    in memory, and changes the text a little. `think` chooses for a model that can do
    both; None leaves it to its chat template.
    """

    system: str | None = None
    max_tokens: int | None = None
    answer_tokens: int = 1024
    think: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    detail: str | None = None
    crop: str | None = None
    page: str | None = None
    lang: str = "auto"
    vote: int | None = None
    look: str = "auto"
    double_check: bool = False
    kv_bits: int | None = None
    draft: str = "auto"
    use_cache: bool = True
    offline: bool = False
    force: bool = False
    save: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """The arguments of a question, as they were given."""

    question: str
    budget: int | str | None = None
    schema: Schema | None = None
    seed: int | None = None
    options: Options = Options()

    def request(self, sources: tuple[str, ...], model: str) -> Request:
        """Build the request. Raises UsageError for a value that is not allowed."""
        given = self.options
        schema = None if self.schema is None else json.dumps(self.schema)
        return Request(
            question=self.question,
            images=sources,
            model=model,
            image_options=(image_options_of(given.page, detail=given.detail, crop=given.crop),),
            prompt=PromptOptions(given.system, allow_text_only=True),
            limits=limits_of(
                None if self.budget is None else str(self.budget),
                given.answer_tokens,
                given.max_tokens,
                None if given.think is None else Think.ON if given.think else Think.OFF,
            ),
            sampling=SamplingOverrides(
                given.temperature,
                given.top_p,
                given.top_k,
                given.min_p,
                self.seed,
                given.repetition_penalty,
                given.presence_penalty,
            ),
            method=replace(
                method_of(
                    given.vote, schema, given.lang, double_check=given.double_check, look=given.look
                ),
                kv_bits=given.kv_bits,
            ),
            policy=Policy(
                draft=given.draft,
                use_cache=given.use_cache,
                force=given.force,
                offline=given.offline,
                save=given.save,
            ),
        )
