"""Muon: momentum, then the nearest orthogonal matrix as the update (needs torch).

Law: only for two-dimensional weights inside the network; embeddings, biases, norms and the patch
kernel go to AdamW. Newton-Schulz coefficients and the 0.2 * sqrt(larger side) scale are those of
the Muon papers, so that AdamW's learning rate fits both.
"""

# mypy: allow-untyped-decorators
from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5


def orthogonalised(stack: Tensor) -> Tensor:
    """Push all singular values of each (rows <= columns) matrix of the stack towards 1."""
    linear, cubic, quintic = COEFFICIENTS
    x = stack.bfloat16()
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = linear * x + (cubic * gram + quintic * gram @ gram) @ x
    return x.float()


class Muon:
    """Matrices of one shape (or its transpose) are updated in one batch."""

    def __init__(
        self, weights: Iterable[nn.Parameter], decay: float, momentum: float = 0.95
    ) -> None:
        self._decay, self._momentum = decay, momentum
        self._groups: dict[tuple[int, ...], list[nn.Parameter]] = defaultdict(list)
        self._velocity: dict[nn.Parameter, Tensor] = {}
        for weight in weights:
            self._groups[tuple(sorted(weight.shape))].append(weight)
            self._velocity[weight] = torch.zeros_like(weight)

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """One update of every weight that has a gradient."""
        for (_, longer), group in self._groups.items():
            live = [weight for weight in group if weight.grad is not None]
            if not live:
                continue
            updates = []
            for weight in live:
                velocity = self._velocity[weight].lerp_(weight.grad, 1 - self._momentum)
                update = weight.grad.lerp(velocity, self._momentum)
                updates.append(update if update.shape[0] <= update.shape[1] else update.T)
            for weight, update in zip(live, orthogonalised(torch.stack(updates)), strict=True):
                turned = update if weight.shape[0] <= weight.shape[1] else update.T
                weight.mul_(1 - rate * self._decay).add_(turned, alpha=-rate * 0.2 * longer**0.5)
