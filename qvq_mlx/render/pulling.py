"""Show a pull to a person or a script: the facts first, then the transfer, then what came.

Law: in a pipe stdout gets the folder alone, and with `document` nothing from here.
"""

from __future__ import annotations

from qvq_mlx.core.env import Env
from qvq_mlx.core.remedies import Remedy
from qvq_mlx.core.sizes import counted, size
from qvq_mlx.render.clean import writable
from qvq_mlx.render.prompt import confirmed
from qvq_mlx.render.transfers import Transfers
from qvq_mlx.store.download import Advice, PullDone, PullEvent, PullPlan
from qvq_mlx.store.pull import Planned


class PullScreen:
    """One pull: `planned` first, `feed` for every event after it, `close` in a `finally`.

    `document`: stdout is for one JSON object, and the facts are in it.
    """

    def __init__(self, env: Env, *, document: bool) -> None:
        self._env = env
        self._document = document
        self._transfers: Transfers | None = None
        self._taken = False

    def planned(self, plan: PullPlan, told: Advice) -> None:
        """Say what there is to know before the first byte."""
        listing = plan.listing
        self._transfers = screen = Transfers(
            self._env,
            listing.size_bytes,
            plan.have_bytes,
            verb="fetched",
            document=self._document,
        )
        if self._document:
            return
        parts = [
            f"{listing.repo}: {size(listing.size_bytes)} in {counted(len(listing.files), 'file')}"
        ]
        if not plan.fetches:
            parts.append("all of it is here")
        elif plan.have_bytes:
            parts.append(f"{size(plan.have_bytes)} here, {size(plan.fetch_bytes)} to fetch")
        screen.say(" · ".join(parts))
        licence = f"licence {told.licence}" if told.licence else "licence not stated"
        screen.say(" · ".join([f"{size(plan.free_bytes)} free on the disk", licence]))
        if told.fit:
            screen.say(told.fit)

    def consent(self, planned: Planned, *, given: bool) -> bool:
        """Say the licence's duties, and ask for a yes unless it is `given`."""
        assert self._transfers is not None, "planned() comes first"
        told = planned.advice
        for duty in told.duties:
            self._transfers.say(f"  {told.licence}: {duty}")
        return given or confirmed(f"Do you accept the licence {told.licence}?", self._env)

    def feed(self, event: PullEvent) -> None:
        """Show one event of the transfer."""
        assert self._transfers is not None, "planned() comes first"
        if not self._taken:
            self._taken = True
            self._transfers.begin()
        self._transfers.feed(event)

    def close(self) -> None:
        """Leave a clean screen. May be called again."""
        if self._taken and self._transfers is not None:
            self._transfers.close()

    def finish(self, name: str, done: PullDone, remedy: Remedy) -> None:
        """After `close`: the folder for a script; for a person, what to do next."""
        assert self._transfers is not None, "planned() comes first"
        if self._document:
            return
        if self._env.stdout.isatty():
            self._transfers.say(f"{name} is here · {size(done.fetched_bytes)} fetched")
            self._transfers.say(f"  try: {self._env.spelling.remedy(remedy)}")
        else:
            self._env.stdout.write(writable(f"{done.folder}\n", self._env.stdout))
