"""Which Jobs wait for a request, by its id. Of a million ids nearly all have one Job, which takes a place in a dict."""

from k8s.base import Key


class Dependents:
    """Keys of Jobs by the id of a request that they wait for."""

    def __init__(self) -> None:
        self._first: dict[str, Key] = {}
        self._others: dict[str, set[Key]] = {}

    def __contains__(self, request_id: str) -> bool:
        """Whether any Job waits for it."""
        return request_id in self._first

    def of(self, request_id: str) -> list[Key]:
        """The Jobs that wait for it now, in no order."""
        first = self._first.get(request_id)
        return [] if first is None else [first, *self._others.get(request_id, ())]

    def add(self, request_id: str, key: Key) -> None:
        """This Job waits for it."""
        first = self._first.setdefault(request_id, key)
        if first != key:
            self._others.setdefault(request_id, set()).add(key)

    def discard(self, request_id: str, key: Key) -> None:
        """This Job does not wait for it any more, if it ever did."""
        others = self._others.get(request_id)
        if self._first.get(request_id) != key:
            if others is not None:
                others.discard(key)
        elif others:
            self._first[request_id] = others.pop()
        else:
            del self._first[request_id]
        if others is not None and not others:
            del self._others[request_id]
