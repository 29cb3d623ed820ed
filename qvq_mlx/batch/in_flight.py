"""Says how many items of a batch may be in flight.

Law: what asks the model more than once an item, or drafts by a model that was named, is asked one
by one.
"""

from __future__ import annotations

from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.plan import Resolved
from qvq_mlx.core.remedies import Field
from qvq_mlx.core.request import Request
from qvq_mlx.core.setup import Drafting
from qvq_mlx.memory.admission import most_in_flight

MOST_TRIED = 8
"""Items at a time that are tried where the number is to be found out."""


def most_tried(resolved: Resolved, request: Request, env: Env) -> int:
    """Return how many items at a time may be tried; 1 for what has to be asked one by one."""
    if resolved.served is not None:
        return 1
    try:
        check_together(request)
    except UsageError:
        return 1
    return most_in_flight(resolved, request, MOST_TRIED, env)


def check_together(request: Request) -> None:
    """Raises UsageError for what asks the model more than once an item, or drafts."""
    method, draft = request.method, request.policy.draft
    if method.votes > 1:
        raise UsageError.excluding(Field.PARALLEL, Field.VOTE)
    if method.double_check:
        raise UsageError.excluding(Field.PARALLEL, Field.DOUBLE_CHECK)
    if draft not in (Drafting.AUTO, Drafting.NONE):
        raise UsageError.excluding(
            Field.PARALLEL,
            (Field.DRAFT, f" {draft}"),
            "items side by side are not drafted for",
        )
