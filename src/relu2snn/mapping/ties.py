"""Which tensors are scaled alike: those that meet in one extremum, or rectify one z; and which of them feed others."""

from collections.abc import Iterable, Sequence

from relu2snn.graph.nodes import Extremum, Network, made, used


class Ties:
    """Classes of tensors that need the same factor, and what each tensor is computed from."""

    def __init__(self) -> None:
        self._classes: dict[str, set[str]] = {}
        self._before: dict[str, frozenset[str]] = {}

    @classmethod
    def of(cls, network: Network) -> "Ties":
        """Those of a whole network."""
        found = cls()
        for node in network:
            if isinstance(node, Extremum):
                found.add_extremum(node.name, node.tensors)
            elif names := made(node):
                found.add(names, used(node))
        return found

    def add(self, names: Sequence[str], sources: Iterable[str] = ()) -> None:
        """Tensors that rectify one z, computed from `sources`; or one that is an image."""
        before = frozenset(each for name in sources for each in {name, *self._before.get(name, ())})
        for name in names:
            self._classes[name] = {name}
            self._before[name] = before
        self._join(names)

    def add_extremum(self, name: str, tensors: Sequence[str]) -> None:
        """The tensor that an extremum makes of others, which it joins."""
        self._classes[name] = {name}
        self._before[name] = frozenset().union(*(self._before[each] for each in tensors))
        self._join([name, *tensors])

    def together(self, name: str) -> frozenset[str]:
        """The tensors that have the factor of this one."""
        return frozenset(self._classes[name])

    def feed_each_other(self, tensors: Sequence[str]) -> bool:
        """Whether one of the tensors that an extremum of these would tie is computed from another of them."""
        tied = set().union(*(self._classes[name] for name in tensors))
        return any(tied & self._before[name] for name in tied)

    def _join(self, names: Sequence[str]) -> None:
        joined = set().union(*(self._classes[name] for name in names))
        for name in joined:
            self._classes[name] = joined
