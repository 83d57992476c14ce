"""Owns the names of what can come of one try against an endpoint. Bounded: they are label values.

After Pingora's error model: what happened, on which side, and whether another try is allowed is
decided from the name alone, never from an exception's text.
"""

from enum import StrEnum


class Outcome(StrEnum):
    """What came of one attempt against an endpoint."""

    SUCCESS = "success"
    """A response with a status below 500."""
    SERVER_ERROR = "server_error"
    """A response with a status of 500 or above."""
    CONNECT_FAILED = "connect_failed"
    """Refused, unreachable, or the name did not resolve."""
    CONNECT_TIMEOUT = "connect_timeout"
    RESET = "reset"
    """The endpoint closed before its response was complete."""
    RESPONSE_TIMEOUT = "response_timeout"
    """It was silent for too long, before or within its response."""
    REQUEST_TIMEOUT = "request_timeout"
    """The whole request took too long."""
    BAD_RESPONSE = "bad_response"
    """What came was not valid HTTP."""
    NO_ENDPOINT = "no_endpoint"
    """None of the version's endpoints works, so none was tried."""
    OVERFLOW = "overflow"
    """The version has as much in hand as its breakers allow."""
    CLIENT_GONE = "client_gone"
    """The client left, or broke its own request, before the response was complete."""
