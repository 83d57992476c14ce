"""Owns the list of every attack of a client. The classes of bugs have a module each."""

from tests.attacks import (
    vectors_chunks,
    vectors_fields,
    vectors_framing,
    vectors_limits,
    vectors_lines,
    vectors_own,
)
from tests.attacks.vector import RequestVector

VECTORS: list[RequestVector] = [
    *vectors_framing.VECTORS,
    *vectors_chunks.VECTORS,
    *vectors_lines.VECTORS,
    *vectors_fields.VECTORS,
    *vectors_limits.VECTORS,
    *vectors_own.VECTORS,
]
