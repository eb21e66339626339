"""Whether a request that is in memory is one of those that a page would show. Pure; the same answers as `paging`."""

from handler.history.base import Request, Tagged, Wanted
from handler.history.sql.beginnings import LAST
from handler.history.sql.columns import tags_of
from handler.history.sql.values import clean, indexed


class Matcher:
    """Looks at requests as the database has them."""

    def __init__(self, wanted: Wanted) -> None:
        self._phases = frozenset(wanted.phases)
        self._newer, self._older = wanted.newer, wanted.older
        self._source = None if wanted.source is None else clean(wanted.source)
        named = (wanted.service, wanted.id, wanted.text, wanted.tag)
        self._service, self._id, self._text, self._tag = (None if one is None else indexed(one) for one in named)
        self._fixed = any(one is not None for one in (self._id, self._source, self._text))

    def matches(self, tagged: Tagged) -> bool:
        """Whether a page has it."""
        request = tagged.request
        if self._phases and request.phase not in self._phases:
            return False
        if self._service is not None and request.service != self._service:
            return False
        if self._newer is not None and request.updated < self._newer:
            return False
        if self._older is not None and request.updated >= self._older:
            return False
        return self.may_match(request) and (self._tag is None or self._tag in tags_of(tagged.packed))

    def may_match(self, request: Request) -> bool:
        """Whether a page had it before, or will have it: what never changes of it is as asked."""
        if not self._fixed:
            return True
        key = request.key
        if self._id is not None and key.id != self._id:
            return False
        if self._source is not None and key.source != self._source:
            return False
        return self._text is None or self._text <= key.id < self._text + LAST
