"""Union-find: keys that were joined have one root."""

from collections.abc import Sequence


class Groups:
    """Disjoint groups of keys, with path halving; the smallest key of a group is its root, whatever
    the order.
    """

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def join(self, keys: Sequence[str]) -> None:
        """Put all keys into one group."""
        for key in keys:
            one, two = self.root(keys[0]), self.root(key)
            if one != two:
                self._parent[max(one, two)] = min(one, two)

    def root(self, key: str) -> str:
        """The key that stands for the group; a new key is its own."""
        self._parent.setdefault(key, key)
        while self._parent[key] != key:
            self._parent[key] = self._parent[self._parent[key]]
            key = self._parent[key]
        return key
