"""Owns the rules between fields of a configuration. Pure.

Never looks at types and ranges (``convert`` does), never knows lines (``parse`` adds them).
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial

import msgspec

from proxy.model.address import Address, parse_bind, parse_endpoint
from proxy.model.config import (
    Config,
    Control,
    CookieAttributes,
    Cors,
    DirectResponse,
    Endpoint,
    HeaderChanges,
    KeyFrom,
    Match,
    PathChange,
    PathMatch,
    Redirect,
    Rewrite,
    Route,
    Segment,
    Service,
    Sticky,
    TextMatch,
    Traffic,
    endpoint_of,
)
from proxy.model.errors import Problem
from proxy.model.regex import check_regex, check_substitution
from proxy.model.report import field_of, item_of
from proxy.model.source import Source, parse_source
from proxy.model.text_forms import (
    check_authority,
    check_host,
    check_name,
    check_network,
    check_origin,
    check_path,
    check_path_text,
    check_server,
    check_target,
    check_url,
    check_value,
)
from proxy.model.wording import did_you_mean, has_control, listed, shown

MAX_WEIGHT = 1_000_000
EXACTLY_ONE: tuple[type[msgspec.Struct], ...] = (KeyFrom, PathMatch, TextMatch)
"""Types of which one is set of the fields that may be left out, and no more."""
_BODILESS = (204, 205, 304)
"""RFC 9110 sections 15.3.5, 15.3.6 and 15.4.5."""
ACTIONS = ("service", "redirect", "respond")
"""Of which a route has one."""
_OURS = {
    name: said
    for said, names in {
        "is part of the framing, which the proxy makes": (
            "connection", "content-length", "expect", "keep-alive", "proxy-connection", "te",
            "trailer", "transfer-encoding", "upgrade",
        ),
        "is changed by rewrite.host": ("host",),
        "names the request in logs on both sides": ("x-request-id",),
        "is written by the proxy; see trusted_proxies": (
            "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto",
        ),
    }.items()
    for name in names
}  # fmt: skip
"""Fields that no configuration changes → why not."""
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
        problems += _check_action(route, path)
        if route.service is not None and route.service not in traffic.services:
            known = traffic.services if len(problems) < _HINTS else ()
            said = f"unknown service {shown(route.service)}{did_you_mean(route.service, known)}"
            problems.append(Problem(field_of(path, "service"), said))
        elif route.service is not None:
            versions = traffic.services[route.service].versions
            for number, mirror in enumerate(route.mirror):
                if mirror.version not in versions:
                    where = field_of(item_of(field_of(path, "mirror"), number), "version")
                    hint = did_you_mean(mirror.version, versions)
                    hint = hint or f"; known here: {listed(versions)}"
                    problems.append(Problem(where, f"unknown version{hint}"))
        problems += _check_match(route.match, field_of(path, "match"))
    return problems


def _check_characters(value: object, path: str) -> Iterator[Problem]:
    """No text may end a header line, or begin another."""
    if isinstance(value, str):
        if has_control(value):
            yield Problem(path, f"control characters are not allowed, got {shown(value)}")
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            if isinstance(value, DirectResponse) and name == "body":
                if has_control(value.body, of_lines=True):
                    said = "control characters are not allowed but for tabs and line breaks"
                    yield Problem(field_of(path, name), said)
                continue
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
        problems += _form(item_of("trusted_proxies", index), check_network, text)
    for index, text in enumerate(config.discovery.dns_servers):
        problems += _form(item_of("discovery.dns_servers", index), check_server, text)
    if config.control is not None:
        problems += _form("control.url", check_url, config.control.url)
        problems += _check_control(config.control)
    elif not config.services and not config.routes:
        said = "nothing to serve: give services and routes, or the control plane to follow"
        problems.append(Problem("services", said))
    return problems


def _check_control(control: Control) -> Iterator[Problem]:
    if control.cert_file is not None and control.key_file is None:
        yield Problem("control.key_file", "is missing: it belongs to cert_file")
    if control.key_file is not None and control.cert_file is None:
        yield Problem("control.cert_file", "is missing: it belongs to key_file")
    if control.url.startswith("http:"):
        for name in ("ca_file", "cert_file", "key_file"):
            if getattr(control, name) is not None:
                yield Problem(f"control.{name}", "is for TLS: give an https:// url")


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
        where = field_of(field_of(path, "versions"), version_name)
        yield from check_endpoints(field_of(where, "endpoints"), version.endpoints)
        yield from _check_changes(version.request_headers, field_of(where, "request_headers"))
        yield from _check_changes(version.response_headers, field_of(where, "response_headers"))
    yield from check_weights(name, service.versions.keys(), service.weights)
    yield from _check_sticky(service.sticky, field_of(path, "sticky"))
    yield from _check_balance(service, path)
    yield from _check_segments(service.segments, field_of(path, "segments"))
    for index, source in enumerate(service.sticky.key):
        if isinstance(source, KeyFrom):
            yield from _check_one_set(item_of(f"{path}.sticky.key", index), source)


def check_endpoints(path: str, endpoints: Iterable[str | Endpoint]) -> Iterator[Problem]:
    """Everything wrong with a version's endpoints."""
    seen: dict[Address | Source, str] = {}
    total = 0
    for index, given in enumerate(endpoints):
        field = item_of(path, index)
        endpoint = endpoint_of(given)
        total += endpoint.weight
        if isinstance(given, Endpoint):
            field = field_of(field, "url")
        try:
            address = parse_source(endpoint.url) or parse_endpoint(endpoint.url)
        except ValueError as error:
            yield Problem(field, str(error))
            continue
        if address in seen:
            yield Problem(field, f"the same endpoint as {seen[address]}")
        seen.setdefault(address, field)
    if seen and not total:
        yield Problem(path, "all weights are 0; at least one endpoint must get requests")


def _check_sticky(sticky: Sticky, path: str) -> Iterator[Problem]:
    if sticky.mode == "pin" and (sticky.pin is None or not sticky.pin.secrets):
        yield Problem(field_of(path, "mode"), "pins are signed: give pin.secrets")
    cookies: list[tuple[str, CookieAttributes | None]] = [(field_of(path, "pin"), sticky.pin)]
    for index, source in enumerate(sticky.key):
        if isinstance(source, KeyFrom) and source.generated is not None:
            where = item_of(field_of(path, "key"), index)
            cookies.append((field_of(where, "generated"), source.generated))
    for where, cookie in cookies:
        if cookie is not None and cookie.same_site == "None" and not cookie.secure:
            yield Problem(field_of(where, "same_site"), "browsers want `secure: true` with None")
    if sticky.override is not None:
        override = sticky.override
        if (override.header is None) == (override.cookie is None):
            yield Problem(field_of(path, "override"), "expected exactly one of header, cookie")


def _check_segments(segments: Mapping[str, Segment], path: str) -> Iterator[Problem]:
    for name, segment in segments.items():
        where = field_of(path, name)
        sources = ("header", "cookie", "query", "jwt", "networks")
        given = [source for source in sources if getattr(segment, source) is not None]
        if len(given) != 1:
            said = f"expected exactly one of {', '.join(sources)}; got {listed(given) or 'none'}"
            yield Problem(where, said)
        if segment.networks is None and not segment.values:
            yield Problem(field_of(where, "values"), "name those that count; all else is `other`")
        elif segment.networks is not None and segment.values:
            yield Problem(field_of(where, "values"), "the names of the networks are the values")
        lower = [value.lower() for value in (*segment.values, *(segment.networks or ()))]
        if "other" in lower:
            yield Problem(where, "`other` is what is none of the values")
        if len(set(lower)) < len(lower):
            yield Problem(where, "a value is given twice; letter case does not count")
        for value, cidrs in (segment.networks or {}).items():
            field = field_of(field_of(where, "networks"), value)
            for index, cidr in enumerate(cidrs):
                yield from _form(item_of(field, index), check_network, cidr)


def _check_balance(service: Service, path: str) -> Iterator[Problem]:
    """What there is to say of how endpoints are chosen, and of when they are not."""
    if 0 < service.balance.bounded_load < 1:
        where = field_of(field_of(path, "balance"), "bounded_load")
        yield Problem(where, "expected 0 for no bound, or 1 and more")
    if service.fallback is not None and service.fallback.version not in service.versions:
        said = did_you_mean(service.fallback.version, service.versions)
        said = said or f"; known here: {listed(service.versions)}"
        where = field_of(field_of(path, "fallback"), "version")
        yield Problem(where, f"unknown version{said}")
    if service.health is not None:
        where = field_of(path, "health")
        yield from _form(field_of(where, "path"), check_target, service.health.path)
        if service.health.host:
            yield from _form(field_of(where, "host"), check_authority, service.health.host)
        for index, text in enumerate(service.health.statuses):
            yield from _check_range(text, item_of(field_of(where, "statuses"), index))


def _check_range(text: str, path: str) -> Iterator[Problem]:
    """``200`` or ``200-299``, or a word."""
    first, _, last = text.partition("-")
    if last.isdigit() and int(last) < int(first):
        yield Problem(path, f"{shown(text)} ends before it begins")


def _check_match(match: Match, path: str) -> Iterator[Problem]:
    if match.host is not None:
        yield from _form(field_of(path, "host"), check_host, match.host)
    if match.path is not None:
        where = field_of(path, "path")
        yield from _check_one_set(where, match.path)
        for name, text in _set_fields(match.path).items():
            check = check_regex if name == "regex" else check_path
            yield from _form(field_of(where, name), check, str(text))
    names: dict[str, str] = {}
    for name in match.headers:
        where = field_of(field_of(path, "headers"), name)
        if name.lower() == "host" or name.lower().startswith("x-splitway"):
            said = "match.host looks at it" if name.lower() == "host" else "no client may send it"
            yield Problem(where, said)
        if name.lower() in names:
            yield Problem(where, f"the same field as {names[name.lower()]}")
        names.setdefault(name.lower(), where)
    for kind in ("headers", "query", "cookies"):
        yield from _check_texts(getattr(match, kind), field_of(path, kind))
    if isinstance(match.fraction, float) and match.fraction != round(match.fraction, 4):
        said = f"expected steps of 0.0001, got {match.fraction}"
        yield Problem(field_of(path, "fraction"), said)


def _check_texts(texts: Mapping[str, TextMatch], path: str) -> Iterator[Problem]:
    for name, text in texts.items():
        where = field_of(path, name)
        yield from _check_one_set(where, text)
        if text.regex is not None:
            yield from _form(field_of(where, "regex"), check_regex, text.regex)


def _check_action(route: Route, path: str) -> Iterator[Problem]:
    """What a route leads to, and what is changed on the way."""
    given = [name for name in ACTIONS if getattr(route, name) is not None]
    if len(given) != 1:
        said = f"expected exactly one of {', '.join(ACTIONS)}; got {listed(given) or 'none'}"
        yield Problem(path, said)
    for name in ("rewrite", "redirect"):
        change = getattr(route, name)
        if change is not None:
            yield from _check_change(change, route.match.path, field_of(path, name))
    if route.service is None:
        for name, nothing in (("rewrite", None), ("request_headers", HeaderChanges())):
            if getattr(route, name) != nothing:
                yield Problem(field_of(path, name), "nothing is sent on here; only with `service`")
    if route.redirect == Redirect(status=route.redirect.status if route.redirect else 302):
        yield Problem(field_of(path, "redirect"), "leads back to itself; name what is otherwise")
    if route.respond is not None:
        yield from _check_response(route.respond, field_of(path, "respond"))
    yield from _check_changes(route.request_headers, field_of(path, "request_headers"))
    yield from _check_changes(route.response_headers, field_of(path, "response_headers"))
    yield from _check_faults(route, path)
    if route.retry is not None:
        for index, text in enumerate(route.retry.conditions):
            yield from _check_range(
                text, item_of(field_of(field_of(path, "retry"), "conditions"), index)
            )
    if route.cors is not None:
        yield from _check_cors(route.cors, field_of(path, "cors"))
        yield from _check_beside_cors(route.response_headers, field_of(path, "response_headers"))


def _check_faults(route: Route, path: str) -> Iterator[Problem]:
    if route.service is None:
        for name, nothing in (("mirror", ()), ("fault", None), ("retry", None)):
            if getattr(route, name) != nothing:
                yield Problem(field_of(path, name), "nothing is sent on here; only with `service`")
    fault = route.fault
    if fault is not None:
        where = field_of(path, "fault")
        yield from _check_texts(fault.headers, field_of(where, "headers"))
        if 0 < fault.abort_status < 200:
            yield Problem(field_of(where, "abort_status"), "expected 200 to 599, or 0")
        if fault.abort_status in _BODILESS:
            said = f"an abort says why; a response of {fault.abort_status} has no body"
            yield Problem(field_of(where, "abort_status"), said)


def _check_response(response: DirectResponse, path: str) -> Iterator[Problem]:
    if response.body and response.status in _BODILESS:
        yield Problem(field_of(path, "body"), f"a response of {response.status} has none")
    yield from _form(field_of(path, "content_type"), check_value, response.content_type)


def _check_cors(cors: Cors, path: str) -> Iterator[Problem]:
    where = field_of(path, "allow_origins")
    for index, origin in enumerate(cors.allow_origins):
        yield from _form(item_of(where, index), check_origin, origin)
    if not cors.allow_credentials:
        return
    if "*" in cors.allow_origins:
        said = "with allow_credentials every page could act for its visitors; name the origins"
        yield Problem(where, said)
    if "*" in cors.expose_headers:
        said = "`*` means nothing to browsers with allow_credentials; name the fields"
        yield Problem(field_of(path, "expose_headers"), said)


def _check_beside_cors(changes: HeaderChanges, path: str) -> Iterator[Problem]:
    for kind in ("set", "add"):
        for name in getattr(changes, kind):
            if name.lower().replace("_", "-").startswith("access-control-"):
                yield Problem(field_of(field_of(path, kind), name), "is what cors says")


def _check_change(change: PathChange, matched: PathMatch | None, path: str) -> Iterator[Problem]:
    ways = [name for name in ("path", "prefix", "regex") if getattr(change, name) is not None]
    if len(ways) > 1:
        yield Problem(path, f"expected at most one of path, prefix, regex; got {listed(ways)}")
    if change.path is not None:
        yield from _form(field_of(path, "path"), check_path, change.path)
    if change.prefix is not None:
        where = field_of(path, "prefix")
        if change.prefix:
            yield from _form(where, check_path, change.prefix)
        if matched is not None and matched.prefix is None and matched.segment_prefix is None:
            yield Problem(where, "takes the place of a matched prefix; match.path has none")
    if change.regex is not None:
        where = field_of(path, "regex")
        wrong = list(_form(field_of(where, "pattern"), check_regex, change.regex.pattern))
        wrong += _form(field_of(where, "to"), check_path_text, change.regex.to)
        if not wrong:
            replaced = partial(check_substitution, change.regex.pattern)
            wrong += _form(field_of(where, "to"), replaced, change.regex.to)
        yield from wrong
    host = getattr(change, "host", None)
    if host is not None:
        check = check_authority if isinstance(change, Rewrite) else check_name
        yield from _form(field_of(path, "host"), check, host)


def _check_changes(changes: HeaderChanges, path: str) -> Iterator[Problem]:
    named: dict[str, str] = {}
    for kind in ("set", "add", "remove"):
        where = field_of(path, kind)
        names = getattr(changes, kind)
        for index, name in enumerate(names):
            field = item_of(where, index) if kind == "remove" else field_of(where, name)
            low = name.lower()
            if low.replace("_", "-") in _OURS or low.replace("_", "-").startswith("x-splitway"):
                yield Problem(field, _OURS.get(low, "the proxy's own; it cannot be changed here"))
            if low in named:
                yield Problem(field, f"the same field as {named[low]}")
            named.setdefault(low, field)
            if kind != "remove":
                yield from _form(field, check_value, names[name])


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
        known = ", ".join(optional_fields(type(value)))
        yield Problem(path, f"expected exactly one of {known}; got {listed(given) or 'none'}")


def _set_fields(value: msgspec.Struct) -> dict[str, object]:
    fields = {name: getattr(value, name) for name in optional_fields(type(value))}
    return {name: field for name, field in fields.items() if field is not None}


def optional_fields(kind: type[msgspec.Struct]) -> list[str]:
    """The fields that are None when they are left out."""
    return [field.name for field in msgspec.structs.fields(kind) if field.default is None]


def _form(field: str, check: Callable[[str], None], text: str) -> Iterator[Problem]:
    try:
        check(text)
    except ValueError as error:
        yield Problem(field, str(error))
