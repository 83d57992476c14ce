"""Owns reading figures of many intervals piece by piece: unpacked all at once they would hold up
the streams of thousands of proxies, and may be more than fits into memory."""

import asyncio
from collections.abc import Callable
from typing import Final

from controlplane.rollup import CellKey, Figures, Stretch
from controlplane.store.base import Unit

AT_ONCE: Final = 20
"""Intervals: with ten segments about ten milliseconds of unpacking."""
Sums = list[tuple[CellKey, Figures]]


async def each_part(
    unit: Unit,
    service: str,
    stretch: Stretch,
    take: Callable[[Sums], None],
    *,
    by_endpoint: bool = False,
    segment: str | None = None,
) -> None:
    """Gives ``take`` all that is known of a service in a stretch, in a thread of its own.

    Args:
        by_endpoint, segment: as for ``Unit.figures``.
    """
    for first in range(0, len(stretch.starts), AT_ONCE):
        some = stretch.starts[first : first + AT_ONCE]
        figures = await unit.figures(
            stretch.level_s, some, service, by_endpoint=by_endpoint, segment=segment
        )
        await asyncio.to_thread(take, figures)
