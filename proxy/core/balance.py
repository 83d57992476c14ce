"""Owns the choice of a version's endpoint. Never chooses the version, and shares no hash with that.

If endpoint and version hung on the same hash, a version's users would meet only some endpoints.
"""


class RoundRobin:
    """Takes a version's endpoints in turn. One for each version and worker."""

    __slots__ = ("_next", "_size")

    def __init__(self, size: int, offset: int = 0) -> None:
        """Args: how many endpoints (≥ 1); where to start, any whole number.

        Give each worker its own offset, so that they do not all begin with the first endpoint.
        """
        if size < 1:
            raise ValueError("a version needs at least one endpoint")
        self._size = size
        self._next = offset % size

    def pick(self) -> int:
        """The index of the endpoint whose turn it is."""
        index = self._next
        following = index + 1
        self._next = following if following < self._size else 0
        return index
