import pytest

from proxy.model.certificate import certificate_fault


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (10, "its certificate has expired"),
        (9, "its certificate is not valid yet: is a clock wrong?"),
        (62, "its certificate is not for control.test"),
        (64, "its certificate is not for control.test"),
        *((code, "its certificate is not signed by our CA") for code in (2, 18, 19, 20, 21)),
        (23, "its certificate cannot be verified: certificate revoked"),
    ],
)
def test_each_fault_has_words(code: int, words: str) -> None:
    assert certificate_fault(code, "certificate revoked", "control.test", "our CA") == words
