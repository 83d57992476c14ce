"""Owns how it is told what is wrong with a server's certificate. Never verifies one.

Source: OpenSSL's ``X509_V_ERR_*`` (``ssl.SSLCertVerificationError.verify_code``).
"""

from typing import Final

_EXPIRED: Final = 10
_NOT_YET: Final = 9
_OTHER_HOST: Final = frozenset({62, 64})
"""A host name, an IP address."""
_UNKNOWN_SIGNER: Final = frozenset({2, 18, 19, 20, 21})
"""No issuer found (once, or on the way to a root), signed by itself (alone, or at the end)."""


def certificate_fault(code: int, said: str, host: str, trusted: str) -> str:
    """What is wrong with a certificate, in words an operator can act on.

    Args:
        code: OpenSSL's number of the error.
        said: OpenSSL's own words, for what has none here.
        host: that was asked for.
        trusted: whose signature is believed, in words.
    """
    if code == _EXPIRED:
        return "its certificate has expired"
    if code == _NOT_YET:
        return "its certificate is not valid yet: is a clock wrong?"
    if code in _OTHER_HOST:
        return f"its certificate is not for {host}"
    if code in _UNKNOWN_SIGNER:
        return f"its certificate is not signed by {trusted}"
    return f"its certificate cannot be verified: {said}"
