"""How many objects to ask for at a time, so that a page costs little memory and time. Sends nothing."""

FIRST = 50
"""Objects of the first page, of which nobody knows how large they are: each may have more than 1 MiB."""
MOST = 500
PAGE_BYTES = 2**21
"""Bytes that a page should have: it is held as a whole, and decoded in one go."""


class Paging:
    """The `limit` of the next page of a list, by what the last one took."""

    def __init__(self) -> None:
        self.limit = FIRST

    def took(self, size: int, count: int) -> None:
        """The last page had so many bytes, and so many objects."""
        fitting = MOST if not size else PAGE_BYTES * max(count, 1) // size
        self.limit = max(1, min(fitting, MOST))
