"""Owns the rules between fields of a configuration, and the forms of its texts. Pure.

Never looks at types and ranges (``convert`` does), never knows lines (``parse`` adds them).
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from ipaddress import ip_interface, ip_network

import msgspec

from proxy.model.address import (
    Address,
    parse_authority,
    parse_bind,
    parse_endpoint,
)
from proxy.model.config import Config, KeyFrom, Match, PathMatch, Service, Traffic
from proxy.model.errors import Problem
from proxy.model.report import field_of, item_of
from proxy.model.wording import did_you_mean, has_control, listed, shown

MAX_WEIGHT = 1_000_000
EXACTLY_ONE: tuple[type[msgspec.Struct], ...] = (KeyFrom, PathMatch)
"""Types of which one field is set, and no more."""
_HINTS = 50
"""Guessing what was meant is slow; after so many problems a text is not a slip of the hand."""


def check_weights(
    service_name: str, versions: Collection[str], weights: Mapping[str, object]
) -> list[Problem]:
    """Everything wrong with a service's weights, by itself and against its versions.

    Args: weights: by version, as they were given: nothing about them is trusted.
    """
    path = field_of(field_of("services", service_name), "weights")
    if not weights:
        if len(versions) == 1:
            return []
        return [Problem(path, f"required where there are several versions: {listed(versions)}")]
    problems = []
    for version, weight in weights.items():
        if version not in versions:
            hint = did_you_mean(version, versions) or f"; known here: {listed(versions)}"
            problems.append(Problem(field_of(path, version), f"unknown version{hint}"))
        elif message := _weight_problem(weight):
            problems.append(Problem(field_of(path, version), message))
    if all(type(weight) is int and weight == 0 for weight in weights.values()):
        problems.append(Problem(path, "all weights are 0; at least one version must get traffic"))
    return problems


def check_traffic(traffic: Traffic) -> list[Problem]:
    """Everything wrong between the fields of services and routes."""
    # A file's texts were looked at when they were read; a snapshot's were not.
    problems = list(_check_characters(traffic, ""))
    for name, service in traffic.services.items():
        problems += _check_service(name, service)
    for index, route in enumerate(traffic.routes):
        path = item_of("routes", index)
        if route.service not in traffic.services:
            known = traffic.services if len(problems) < _HINTS else ()
            said = f"unknown service {shown(route.service)}{did_you_mean(route.service, known)}"
            problems.append(Problem(field_of(path, "service"), said))
        problems += _check_match(route.match, field_of(path, "match"))
    return problems


def _check_characters(value: object, path: str) -> Iterator[Problem]:
    """No text may end a header line, or begin another."""
    if isinstance(value, str):
        if has_control(value):
            yield Problem(path, f"control characters are not allowed, got {shown(value)}")
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _check_characters(getattr(value, name), field_of(path, name))
    elif isinstance(value, Mapping):
        for key, entry in value.items():
            where = field_of(path, key)
            yield from _check_characters(key, where)
            yield from _check_characters(entry, where)
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _check_characters(item, item_of(path, index))


def check_config(config: Config) -> list[Problem]:
    """Everything wrong between the fields of a whole configuration."""
    problems = check_traffic(config)
    problems += _check_listeners(config)
    for index, text in enumerate(config.trusted_proxies):
        problems += _form(item_of("trusted_proxies", index), _check_network, text)
    if config.control is not None:
        problems += _form("control.url", _check_url, config.control.url)
    elif not config.services and not config.routes:
        said = "nothing to serve: give services and routes, or the control plane to follow"
        problems.append(Problem("services", said))
    return problems


def _weight_problem(weight: object) -> str:
    if not isinstance(weight, int) or isinstance(weight, bool):
        return f"expected a whole number, got {shown(weight)}"
    if weight < 0:
        return f"expected a whole number ≥ 0, got {weight}"
    if weight > MAX_WEIGHT:
        return f"expected a whole number ≤ {MAX_WEIGHT}, got {shown(weight)}"
    return ""


def _check_service(name: str, service: Service) -> Iterator[Problem]:
    path = field_of("services", name)
    for version_name, version in service.versions.items():
        endpoints = field_of(field_of(field_of(path, "versions"), version_name), "endpoints")
        yield from _check_endpoints(endpoints, version.endpoints)
    yield from check_weights(name, service.versions.keys(), service.weights)
    for index, source in enumerate(service.sticky.key):
        if isinstance(source, KeyFrom):
            yield from _check_one_set(item_of(f"{path}.sticky.key", index), source)


def _check_endpoints(path: str, endpoints: Iterable[str]) -> Iterator[Problem]:
    seen: dict[Address, str] = {}
    for index, text in enumerate(endpoints):
        field = item_of(path, index)
        try:
            address = parse_endpoint(text)
        except ValueError as error:
            yield Problem(field, str(error))
            continue
        if address in seen:
            yield Problem(field, f"the same endpoint as {seen[address]}")
        seen.setdefault(address, field)


def _check_match(match: Match, path: str) -> Iterator[Problem]:
    if match.host is not None:
        yield from _form(field_of(path, "host"), _check_host, match.host)
    if match.path is None:
        return
    path = field_of(path, "path")
    yield from _check_one_set(path, match.path)
    for name, text in _set_fields(match.path).items():
        yield from _form(field_of(path, name), _check_path, str(text))


def _check_listeners(config: Config) -> Iterator[Problem]:
    names: dict[str, str] = {}
    binds: dict[Address, str] = {}
    for index, listener in enumerate(config.listeners):
        path = item_of("listeners", index)
        if listener.name in names:
            yield Problem(f"{path}.name", f"the same name as {names[listener.name]}")
        names.setdefault(listener.name, f"{path}.name")
        yield from _check_bind(f"{path}.bind", listener.bind, binds)
    yield from _check_bind("admin.bind", config.admin.bind, binds)


def _check_bind(field: str, text: str, seen: dict[Address, str]) -> Iterator[Problem]:
    try:
        address = parse_bind(text)
    except ValueError as error:
        yield Problem(field, str(error))
        return
    if address in seen:
        yield Problem(field, f"the same address as {seen[address]}")
    if address.is_unix or address.port:
        # Port 0 is a different free port each time.
        seen.setdefault(address, field)


def _check_one_set(path: str, value: msgspec.Struct) -> Iterator[Problem]:
    given = _set_fields(value)
    if len(given) != 1:
        known = ", ".join(value.__struct_fields__)
        yield Problem(path, f"expected exactly one of {known}; got {listed(given) or 'none'}")


def _set_fields(value: msgspec.Struct) -> dict[str, object]:
    fields = msgspec.structs.asdict(value)
    return {name: field for name, field in fields.items() if field is not None}


def _form(field: str, check: Callable[[str], None], text: str) -> Iterator[Problem]:
    try:
        check(text)
    except ValueError as error:
        yield Problem(field, str(error))


def _check_path(text: str) -> None:
    if not text.startswith("/"):
        raise ValueError(f"a path begins with /, got {shown(text)}")
    if bad := next((char for char in text if char in "?# " or not char.isascii()), None):
        raise ValueError(f"a path as it is sent holds no {shown(bad)}; percent-encode it")


def _check_host(text: str) -> None:
    if text == "*":
        raise ValueError("leave host out to match every host")
    host = text.removeprefix("*.")
    if "*" in host:
        raise ValueError(f"`*` stands only in front, as in *.example.com; got {shown(text)}")
    parse_authority(host, default_port=0, lowest_port=0)
    if (not host.startswith("[") and ":" in host) or "]:" in host:
        raise ValueError(f"requests' ports are ignored; leave the port out of {shown(text)}")


def _check_url(text: str) -> None:
    scheme, _, rest = text.partition("://")
    if "@" in rest:
        raise ValueError("a user or password is not supported; give token_file")
    default = 443 if scheme == "https" else 80
    parse_authority(rest.removesuffix("/"), default_port=default, lowest_port=1)


def _check_network(text: str) -> None:
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        said = f"expected a CIDR such as 10.0.0.0/8 or an address, got {shown(text)}"
        raise ValueError(said) from None
    if network.network_address != ip_interface(text).ip:
        raise ValueError(f"{text} has bits beyond its prefix; did you mean {network}?")
