"""What the configuration's types say beyond their fields."""

from proxy.model.config import Service, Version, weights_of


def service(weights: dict[str, int], *versions: str) -> Service:
    endpoints = ("http://127.0.0.1:1",)
    return Service(versions={name: Version(endpoints) for name in versions}, weights=weights)


def test_a_version_without_a_weight_has_weight_0() -> None:
    assert weights_of(service({"a": 2}, "a", "b")) == {"a": 2, "b": 0}


def test_an_only_version_needs_no_weight() -> None:
    assert weights_of(service({}, "a")) == {"a": 1}
