"""A queue in which clients take turns.

Law: each client's items leave in the order in which they came, and a client with many waits after
every other client's next one. Not covered: locking, which is the caller's.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Turns(Generic[Item]):
    """Items that wait, by client. The client whose turn is next stands first."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[Item]] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def put(self, client: str, item: Item) -> None:
        """Append an item of `client`; a client that had none waits behind the others."""
        self._waiting.setdefault(client, deque()).append(item)

    def take(self) -> Item | None:
        """Remove and return the next item; None where nothing waits."""
        if not self._waiting:
            return None
        client, items = self._waiting.popitem(last=False)
        item = items.popleft()
        if items:
            self._waiting[client] = items
        return item

    def drop(self, client: str, item: Item) -> bool:
        """Remove an item of `client`. False where it does not wait (any more)."""
        items = self._waiting.get(client)
        if items is None or item not in items:
            return False
        items.remove(item)
        if not items:
            del self._waiting[client]
        return True

    def clear(self) -> list[Item]:
        """Remove and return everything, in the order in which turns would have come."""
        items = []
        while (item := self.take()) is not None:
            items.append(item)
        return items
