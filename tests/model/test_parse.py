"""Every way in which a configuration can be wrong, and what its author is told."""

from collections.abc import Callable
from types import MappingProxyType

import msgspec
import pytest

from proxy.model import config as c
from proxy.model.errors import ConfigError
from proxy.model.parse import parse_config, parse_traffic
from tests.support.configs import EXAMPLE, FULL


def problems_of(
    text: str, parse: Callable[..., object] = parse_config, **env: str
) -> list[tuple[str, int, str]]:
    with pytest.raises(ConfigError) as caught:
        parse(text, file="splitway.yaml", env=env)
    assert all(problem.file == "splitway.yaml" for problem in caught.value.problems)
    return [(problem.field, problem.line, problem.message) for problem in caught.value.problems]


def test_example() -> None:
    config = parse_config(EXAMPLE)
    assert config.services["shop"].weights == {"stable": 95, "canary": 5}
    assert config.services["shop"].sticky.key == (
        c.KeyFrom(header="X-User-Id"),
        c.KeyFrom(cookie="session"),
        "client_ip",
    )
    assert config.routes == (c.Route("shop", match=c.Match(path=c.PathMatch(prefix="/"))),)
    assert config.control == c.Control("http://127.0.0.1:9800", "/run/secrets/splitway")
    assert config.drain == c.Drain()


def test_full_sets_every_field() -> None:
    config = parse_config(FULL)
    assert config.services["shop"].timeouts == c.Timeouts(1.5, 30.0, 20.0, 900.0, 7200.0)
    assert config.access_log == c.AccessLog("/var/log/splitway.jsonl")
    assert msgspec.convert(c.to_plain(config), c.Config) == config
    again = parse_config(msgspec.json.encode(c.to_plain(config)).decode())
    assert again == config, "JSON is YAML"


def test_traffic_alone() -> None:
    text = FULL[FULL.index("services:") : FULL.index("control:")]
    assert parse_traffic(text) == c.traffic_of(parse_config(FULL))
    assert parse_traffic("{}") == c.Traffic()
    assert problems_of("admin: {}", parse_traffic) == [
        ("admin", 1, "unknown field; known here: routes, services")
    ]


def test_the_issues_own_words() -> None:
    text = EXAMPLE.replace("      canary: {", "      green: {").replace("{stable: 95, ", "{ ")
    with pytest.raises(ConfigError) as caught:
        parse_config(text)
    assert str(caught.value) == (
        "services.shop.weights.canary: unknown version; known here: green, stable, line 9"
    )
    with pytest.raises(ConfigError, match=r"^f\.yaml:9: services\.shop\.weights\.canary: "):
        parse_config(text, file="f.yaml")


def test_every_problem_at_once() -> None:
    text = (
        EXAMPLE.replace("name: web", "nam: web")
        .replace("canary: 5", "canary: 5.5")
        .replace('9001"', '9001/"')
        .replace("client_ip", "clientip")
        .replace("service: shop", "service: shp")
        + "debug_header: yes\n"
    )
    assert problems_of(text) == [
        ("listeners[0].nam", 2, "unknown field, did you mean `name`?"),
        ("listeners[0].name", 2, "required, but missing"),
        (
            "services.shop.versions.stable.endpoints[0]",
            7,
            "an endpoint has no path or query; write http://host:port",
        ),
        ("services.shop.weights.canary", 9, "expected a whole number, got 5.5"),
        (
            "services.shop.sticky.key[2]",
            10,
            (
                "expected client_ip or generated, or a mapping of cookie, generated, header, jwt, "
                "query; got 'clientip', did you mean `client_ip`?"
            ),
        ),
        ("routes[0].service", 12, "unknown service 'shp', did you mean `shop`?"),
        ("debug_header", 14, "expected true or false, got 'yes'"),
    ]


# What to replace in FULL, by what, and the only problem that must come of it: its field, how many
# lines below the beginning of what is replaced, and the words.
MISTAKES = [
    # types
    ("stable: 95", "stable: '95'", "services.shop.weights.stable", 0,
     "expected a whole number, got '95'; leave out the quotes"),
    ("stable: 95", "stable: true", "services.shop.weights.stable", 0,
     "expected a whole number, got true"),
    ("stable: 95", "stable:", "services.shop.weights.stable", 0,
     "expected a whole number, got nothing"),
    ("stable: 95", "stable: [1]", "services.shop.weights.stable", 0,
     "expected a whole number, got a list"),
    ("stable: 95", "stable: {a: 1}", "services.shop.weights.stable", 0,
     "expected a whole number, got a mapping"),
    ("salt: shop-2026", "salt: 2026", "services.shop.salt", 0,
     "expected text, got 2026; write it in quotes"),
    ("connect_s: 1.5", "connect_s: soon", "services.shop.timeouts.connect_s", 0,
     "expected a number, got 'soon'"),
    ("connect_s: 1.5", "connect_s: .inf", "services.shop.timeouts.connect_s", 0,
     "expected a number, got '.inf'"),
    ("debug_header: true", "debug_header: 1", "debug_header", 0,
     "expected true or false, got 1"),
    ("debug_header: true", "debug_header: 'true'", "debug_header", 0,
     "expected true or false, got 'true'; leave out the quotes"),
    ("access_log:\n  path: /var/log/splitway.jsonl", "access_log: yes", "access_log", 0,
     "expected a mapping of fields, got 'yes'"),
    ('endpoints: ["http://api:8000"]', 'endpoints: "http://api:8000"',
     "services.api.versions.v1.endpoints", 0, "expected a list, got 'http://api:8000'"),
    ('versions:\n      v1:\n        endpoints: ["http://api:8000"]', "versions: []",
     "services.api.versions", 0, "expected a mapping of names, got a list"),
    ("      key: [generated]", "      key: [[generated]]", "services.api.sticky.key[0]", 0,
     ("expected client_ip or generated, or a mapping of cookie, generated, header, jwt, query; "
      "got a list")),
    # ranges
    ("stable: 95", "stable: -5", "services.shop.weights.stable", 0,
     "expected a whole number ≥ 0, got -5"),
    ("stable: 95", "stable: 1000001", "services.shop.weights.stable", 0,
     "expected a whole number ≤ 1000000, got 1000001"),
    ("connect_s: 1.5", "connect_s: 0", "services.shop.timeouts.connect_s", 0,
     "expected a number > 0, got 0"),
    ("connect_s: 1.5", "connect_s: 1e9", "services.shop.timeouts.connect_s", 0,
     "expected a number ≤ 86400, got 1000000000.0"),
    ("connect_s: 1.5", "connect_s: " + "9" * 400, "services.shop.timeouts.connect_s", 0,
     "expected a number ≤ 86400, got " + "9" * 60 + "…"),
    ("grace_s: 2", "grace_s: -1", "drain.grace_s", 0, "expected a number ≥ 0, got -1"),
    ("salt: shop-2026", f"salt: {'x' * 257}", "services.shop.salt", 0,
     "expected at most 256 characters, got 257"),
    ("cookie: session", 'cookie: ""', "services.shop.sticky.key[1].cookie", 0,
     "must not be empty"),
    ("header: X-User-Id", "header: X User", "services.shop.sticky.key[0].header", 0,
     "expected a field name, got 'X User'"),
    ("url: https://control.internal:9800/", "url: control.internal", "control.url", 0,
     "expected http://host:port or https://host:port, without a path, got 'control.internal'"),
    ("- name: web", "- name: -web", "listeners[0].name", 0,
     ("expected 1–63 letters, digits, '.', '_' or '-'; starts and ends with a letter or digit, "
      "got '-web'")),
    ("  api:\n", "  api gateway:\n", "services.api gateway", 0, None),
    ('endpoints: ["http://api:8000"]', "endpoints: []", "services.api.versions.v1.endpoints", 0,
     "must not be empty"),
    # fields
    ("trusted_proxies:", "trusted_proxys:", "trusted_proxys", 0,
     "unknown field, did you mean `trusted_proxies`?"),
    ("  idle_s", "  zzz", "services.shop.timeouts.zzz", 0,
     "unknown field; known here: connect_s, idle_s, request_s, response_s, stream_idle_s"),
    ("    bind: 0.0.0.0:8080\n", "", "listeners[0].bind", -1, "required, but missing"),
    ("  - service: api\n    match:", "  - match:", "routes[0]", 0,
     "expected exactly one of service, redirect, respond; got none"),
    # references and rules between fields
    ("      canary: 5\n", "      green: 5\n", "services.shop.weights.green", 0,
     "unknown version; known here: canary, stable"),
    ("      canary: 5\n", "      canery: 5\n", "services.shop.weights.canery", 0,
     "unknown version, did you mean `canary`?"),
    ("      stable: 95\n      canary: 5\n", "      stable: 0\n      canary: 0\n",
     "services.shop.weights", -1, "all weights are 0; at least one version must get traffic"),
    ("    weights:\n      stable: 95\n      canary: 5\n", "", "services.shop.weights", -25,
     "required where there are several versions: canary, stable"),
    ("  - service: api", "  - service: payments", "routes[0].service", 0,
     "unknown service 'payments'"),
    ("        - header: X-User-Id", "        - {}", "services.shop.sticky.key[0]", 0,
     "expected exactly one of header, cookie, query, jwt, generated; got none"),
    ("        - header: X-User-Id", "        - {header: a, cookie: b}",
     "services.shop.sticky.key[0]", 0,
     "expected exactly one of header, cookie, query, jwt, generated; got cookie, header"),
    ("        prefix: /\n", "        {}\n", "routes[9].match.path", -1,
     "expected exactly one of exact, prefix, segment_prefix, regex; got none"),
    ("        prefix: /\n", "        ignore_case: true\n", "routes[9].match.path", -1,
     "expected exactly one of exact, prefix, segment_prefix, regex; got none"),
    ('regex: "/items/[0-9]+"', 'regex: "/items/("', "routes[5].match.path.regex", 0,
     "not a regular expression (RE2): missing ): /items/("),
    ('regex: "/items/[0-9]+"', 'regex: "/(?=a)"', "routes[5].match.path.regex", 0,
     "not a regular expression (RE2): invalid perl operator: (?="),
    ('regex: "/items/[0-9]+"', 'regex: "((((a{100}){100})))"', "routes[5].match.path.regex", 0,
     "not a regular expression (RE2): invalid repetition size: {100}"),
    ("[GET, POST]", "[GET, post]", "routes[0].match.methods[1]", 0,
     "expected a method in capitals, such as GET, got 'post'"),
    ("          exact: canary\n", "          exact: canary\n          prefix: c\n",
     "routes[0].match.headers.X-Env", -1,
     "expected exactly one of exact, prefix, regex, present; got exact, prefix"),
    ("        X-Old:\n", "        x-env:\n", "routes[0].match.headers.x-env", 0,
     "the same field as routes[0].match.headers.X-Env"),
    ("        X-Old:\n", "        X Old:\n", "routes[0].match.headers.X Old", 0,
     "not a name: expected a field name, got 'X Old'"),
    ('        page:\n          regex: "[0-9]+"', '        page:\n          regex: "["',
     "routes[0].match.query.page.regex", 1,
     "not a regular expression (RE2): missing ]: ["),
    ("        seen:\n          present: true", '        seen:\n          present: "yes"',
     "routes[0].match.cookies.seen.present", 1, "expected true or false, got 'yes'"),
    ("fraction: 0.25", "fraction: 1.5", "routes[0].match.fraction", 0,
     "expected a number ≤ 1, got 1.5"),
    ("fraction: 0.25", "fraction: 0.00005", "routes[0].match.fraction", 0,
     "expected steps of 0.0001, got 5e-05"),
    ("exact: /index.html", "exact: index.html", "routes[1].match.path.exact", 0,
     "a path begins with /, got 'index.html'"),
    ("exact: /index.html", "exact: /index?a", "routes[1].match.path.exact", 0,
     "a path as it is sent holds no '?'; percent-encode it"),
    ("exact: /index.html", "exact: /ä", "routes[1].match.path.exact", 0,
     "a path as it is sent holds no 'ä'; percent-encode it"),
    ("host: shop.example.com", "host: '*'", "routes[1].match.host", 0,
     "leave host out to match every host"),
    ("host: shop.example.com", "host: shop.*.com", "routes[1].match.host", 0,
     "`*` stands only in front, as in *.example.com; got 'shop.*.com'"),
    ("host: shop.example.com", "host: shop.example.com:80", "routes[1].match.host", 0,
     "requests' ports are ignored; leave the port out of 'shop.example.com:80'"),
    ("host: shop.example.com", "host: '[::1]:80'", "routes[1].match.host", 0,
     "requests' ports are ignored; leave the port out of '[::1]:80'"),
    ("host: shop.example.com", "host: shop example", "routes[1].match.host", 0,
     "'shop example' is not a host name"),
    ("- http://[::1]:9001", "- http://stable-1.INTERNAL:9001",
     "services.shop.versions.stable.endpoints[1]", 0,
     "the same endpoint as services.shop.versions.stable.endpoints[0]"),
    ("- http://[::1]:9001", "- https://[::1]:9001",
     "services.shop.versions.stable.endpoints[1]", 0,
     "TLS to endpoints is not supported yet; use http://"),
    ("name: local", "name: web", "listeners[1].name", 0, "the same name as listeners[0].name"),
    ("bind: unix:/run/splitway/web.sock", "bind: 0.0.0.0:8080", "listeners[1].bind", 0,
     "the same address as listeners[0].bind"),
    ("bind: unix:/run/splitway/web.sock", "bind: /web.sock", "listeners[1].bind", 0,
     "expected host:port, [v6]:port or unix:/path, got '/web.sock'"),
    ('bind: "[::1]:9900"', "bind: 0.0.0.0:8080", "admin.bind", 0,
     "the same address as listeners[0].bind"),
    ("- 10.0.0.0/8", "- 10.0.0.1/8", "trusted_proxies[0]", 0,
     "10.0.0.1/8 has bits beyond its prefix; did you mean 10.0.0.0/8?"),
    ("- 10.0.0.0/8", "- load-balancer", "trusted_proxies[0]", 0,
     "expected a CIDR such as 10.0.0.0/8 or an address, got 'load-balancer'"),
    ("url: https://control.internal:9800/", "url: https://a:b@c", "control.url", 0,
     "a user or password is not supported; give token_file"),
    ("url: https://control.internal:9800/", "url: https://c:99999", "control.url", 0,
     "the port must be a number from 1 to 65535, got '99999'"),
    # variables and YAML itself
    ("stable: 95", "stable: ${WEIGHT}", "services.shop.weights.stable", 0,
     "${WEIGHT} is not set in the environment; set it, or give a default: ${WEIGHT:-…}"),
    ("salt: shop-2026", "salt: ${1}", "services.shop.salt", 0,
     "`${` must open `${NAME}` or `${NAME:-default}`; write `$${` for the characters"),
    ("salt: shop-2026", 'salt: "a\\tb"', "services.shop.salt", 0,
     "control characters and line breaks are not allowed: 'a\\tb'"),
    ("salt: shop-2026", "salt: !secret x", "services.shop.salt", 0,
     "the tag '!secret' is not supported"),
    ("- header: X-User-Id", "- !source {header: X-User-Id}", "services.shop.sticky.key[0]", 0,
     "the tag '!source' is not supported"),
    ("      canary: 5\n", "      canary: 5\n      canary: 6\n", "services.shop.weights.canary", 1,
     "given twice, on line 36 and on line 37"),
    ("  grace_s: 2", "  <<: {grace_s: 2}", "drain.<<", 0,
     "merge keys are not supported; write the fields out"),
    ('admin:\n  bind: "[::1]:9900"', "? [admin]\n: 1", "", 0,
     "a key must be plain text, not an alias, a list or a mapping"),
    ("salt: shop-2026", "salt: *nothing", "", 0,
     "alias *nothing names no anchor (&nothing) before it"),
    ("salt: shop-2026", "salt: &me [*me]", "", 0, "alias *me stands inside what it names"),
    ("salt: shop-2026", "salt: a: b", "", 0,
     "not valid YAML: mapping values are not allowed in this context"),
    ("salt: shop-2026", "salt: {a: ${X}}", "", 0,
     ("not valid YAML: did not find expected ',' or '}'; inside {} or [] a `${…}` must be quoted, "
      "or else stand on a line of its own")),
    ("debug_header: true", "---\ndebug_header: true", "", 0,
     "a second document begins; one text is one configuration"),
    ("salt: shop-2026", "salt: a\0b", "", 0, "character U+0000 is not allowed in YAML"),
    ("salt: shop-2026", "salt: a\ud800b", "", 0, "character U+D800 is not allowed in YAML"),
    # what routes lead to, and what they change
    ("  - respond:\n      status: 410\n      body: gone\n      content_type: text/html\n    match:",
     "  - match:", "routes[4]", 0,
     "expected exactly one of service, redirect, respond; got none"),
    ("  - respond:", "  - service: shop\n    respond:", "routes[4]", 0,
     "expected exactly one of service, redirect, respond; got respond, service"),
    ("      status: 308\n", "      status: 308\n    rewrite: {path: /x}\n", "routes[2].rewrite",
     1, "nothing is sent on here; only with `service`"),
    ("      status: 308\n", "      status: 309\n", "routes[2].redirect.status", 0,
     "expected 301 or 302 or 303 or 307 or 308, got 309"),
    ("content_type: text/html", 'content_type: " text/html"', "routes[4].respond.content_type", 0,
     "a field's value neither begins nor ends with a blank"),
    ("X-Route: items", 'Content-Length: "5"', "routes[5].request_headers.set.Content-Length", 0,
     "is part of the framing, which the proxy makes"),
    ("X-Via: shop", "x-route: shop", "routes[5].request_headers.add.x-route", 0,
     "the same field as routes[5].request_headers.set.X-Route"),
    ("remove: [Cookie]", "remove: [host]", "routes[5].request_headers.remove[0]", 0,
     "is changed by rewrite.host"),
    ("X-Seen: canary", "X_Splitway_A: canary",
     "services.shop.versions.canary.request_headers.add.X_Splitway_A", 0,
     "the proxy's own; it cannot be changed here"),
    (r"to: '/v2/items/\1'", r"to: '/v2/items/\2'", "routes[5].rewrite.regex.to", 0,
     "there is no group 2; the expression has 1"),
    (r"to: '/v2/items/\1'", r"to: '/v2/\n'", "routes[5].rewrite.regex.to", 0,
     r"`\n` means nothing here; write `\\` for a backslash"),
    (r"to: '/v2/items/\1'", "to: '/v2?x'", "routes[5].rewrite.regex.to", 0,
     "a path as it is sent holds no '?'; percent-encode it"),
    ('pattern: "/items/([0-9]+)"', 'pattern: "("', "routes[5].rewrite.regex.pattern", 0,
     "not a regular expression (RE2): missing ): ("),
    ("      prefix: /shop", "      prefix: /shop\n      path: /x", "routes[2].redirect", -4,
     "expected at most one of path, prefix, regex; got path, prefix"),
    ("      path: /internal/status", "      prefix: /internal", "routes[6].rewrite.prefix", 0,
     "takes the place of a matched prefix; match.path has none"),
    ("      path: /internal/status", "      path: internal", "routes[6].rewrite.path", 0,
     "a path begins with /, got 'internal'"),
    ("X-Via: shop\n      remove: [Cookie]\n",
     "X-Via: shop\n      remove: [Cookie]\n"  # noqa: ISC004 one text of two lines
     "    response_headers: {set: {access-control_allow-Origin: x}}\n",
     "routes[5].response_headers.set.access-control_allow-Origin", 2, "is what cors says"),
    ("  - redirect:\n      path: /\n", "  - redirect: {status: 301}\n", "routes[1].redirect", 0,
     "leads back to itself; name what is otherwise"),
    ("      status: 410", "      status: 205", "routes[4].respond.body", 1,
     "a response of 205 has none"),
    ('allow_origins: ["https://*.example.com"]', 'allow_origins: ["example.com"]',
     "routes[5].cors.allow_origins[0]", 0,
     "expected an origin such as https://shop.example.com, got 'example.com'"),
    ("      host: www.example.com", '      host: "*.example.com"', "routes[2].redirect.host", 0,
     "expected one host, got '*.example.com'"),
]  # fmt: skip


def line_of(text: str) -> int:
    """Where it first stands in FULL."""
    return FULL[: FULL.index(text)].count("\n") + 1


@pytest.mark.parametrize(("old", "new", "field", "below", "message"), MISTAKES)
def test_one_mistake(old: str, new: str, field: str, below: int, message: str | None) -> None:
    line = line_of(old) + below
    found = problems_of(FULL.replace(old, new, 1))
    if message is None:
        # The name is wrong, and so the route to the name that was meant.
        assert [problem[:2] for problem in found[:2]] == [
            (field, line),
            ("routes[0].service", line_of("service: api")),
        ]
        assert [problem[2] for problem in found[1:]] == ["unknown service 'api'"] * 3
    else:
        assert found == [(field, line, message)]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "the text is empty; a configuration is a mapping of fields"),
        ("# nothing\n", 1, "the text is empty; a configuration is a mapping of fields"),
        ("---\n...\n", 2, "expected a mapping of fields, got nothing"),
        ("- a\n", 1, "expected a mapping of fields, got a list"),
        ("shop", 1, "expected a mapping of fields, got 'shop'"),
        ("a:\n  " + "[" * 500 + "]" * 500, 2, "nested more than 32 levels deep"),
        ("- " * 100_000, 1, "nested more than 32 levels deep"),
        ("x" * (4 << 20) + "x", 1, "the text is longer than 4194304 bytes"),
        ("ä" * (2 << 20) + "x", 1, "the text is longer than 4194304 bytes"),
        ("a: [" + "1," * 100_000 + "]", 1, "more than 100000 values, aliases counted in full"),
        ('a: "\\ud83d"', 1,
         "not valid YAML: found invalid Unicode character escape code"),
    ],
)  # fmt: skip
def test_refused_as_a_whole(text: str, line: int, message: str) -> None:
    assert problems_of(text) == [("", line, message)]


def test_alias_bomb() -> None:
    text = "a0: &a0 [1, 2, 3]\n"
    for level in range(1, 20):
        text += f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n"
    found = problems_of(text)
    assert found == [("", found[0][1], "more than 100000 values, aliases counted in full")]


def test_aliases_cannot_nest_deeper_than_text() -> None:
    text = "a0: &a0 [1]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 40))
    assert problems_of(text)[-1][2] == "nested more than 32 levels deep"


def test_aliases_mean_what_they_name() -> None:
    text = EXAMPLE.replace("stable: {endpoints", "stable: &v {endpoints").replace(
        'canary: {endpoints: ["http://127.0.0.1:9002"]}', "canary: *v"
    )
    versions = parse_config(text).services["shop"].versions
    assert versions["canary"] == versions["stable"]
    named = parse_config(
        EXAMPLE.replace("  shop:", "  &name shop:").replace("ice: shop", "ice: *name")
    )
    assert named.routes[0].service == "shop"


def test_a_key_must_be_text() -> None:
    text = EXAMPLE.replace("canary: {", "2: {").replace("canary: 5", "2: 5")
    said = "a key must be text, got 2; write it in quotes: '2'"
    assert problems_of(text) == [
        ("services.shop.versions.2", 8, said),
        ("services.shop.weights.2", 9, said),
    ]
    quoted = EXAMPLE.replace("canary: {", "'2': {").replace("canary: 5", "'2': 5")
    assert parse_config(quoted).services["shop"].weights["2"] == 5


def test_a_name_with_a_line_break() -> None:
    found = problems_of(EXAMPLE.replace("  shop:", '  "shop\\n":'))
    assert found[0] == (
        r"services.shop\n",
        5,
        r"not a name: control characters are not allowed, got 'shop\n'",
    )


@pytest.mark.parametrize("text", ["listeners: []", "drain: {}", "services: {}", "routes: []"])
def test_nothing_to_serve(text: str) -> None:
    said = "nothing to serve: give services and routes, or the control plane to follow"
    assert said in [message for _, _, message in problems_of(text)]
    parse_config("control: {url: 'http://c:1'}")


def test_port_0_is_never_taken() -> None:
    listeners = "listeners: [{name: a, bind: 'a:0'}, {name: b, bind: 'a:0'}]\n"
    text = EXAMPLE.replace('listeners:\n  - {name: web, bind: "127.0.0.1:8080"}\n', listeners)
    assert [each.bind for each in parse_config(text).listeners] == ["a:0", "a:0"]


def test_variables() -> None:
    text = FULL.replace("stable: 95", "stable: ${STABLE}").replace(
        "canary: 5", "canary: ${CANARY:-7}"
    )
    text = text.replace("salt: shop-2026", "salt: '${SALT} $${SALT} $SALT'")
    shop = parse_config(text, env=MappingProxyType({"STABLE": "93", "SALT": "5"})).services["shop"]
    assert shop.weights == {"stable": 93, "canary": 7}
    assert shop.salt == "5 ${SALT} $SALT"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("much", "expected a whole number, got 'much'"),
        ("", "expected a whole number, got nothing"),
        ("5\n", "control characters and line breaks are not allowed: '5\\n'"),
        ("\udcff", "control characters and line breaks are not allowed: '\\udcff'"),
        ("[1, 2]", "expected a whole number, got '[1, 2]'"),
    ],
)
def test_wrong_variables(value: str, message: str) -> None:
    text = FULL.replace("canary: 5", "canary: ${W}")
    assert problems_of(text, W=value) == [
        ("services.shop.weights.canary", line_of("canary: 5"), message)
    ]


def test_variables_do_not_expand_in_keys() -> None:
    found = problems_of("${A}: 1\ncontrol: {url: 'http://c:1'}", A="admin")
    assert found[0][0] == "${A}"


@pytest.mark.parametrize(
    ("control", "wrong"),
    [
        ("https://c, cert_file: /c", {"key_file": "is missing: it belongs to cert_file"}),
        ("https://c, key_file: /k", {"cert_file": "is missing: it belongs to key_file"}),
        ("http://c, ca_file: /ca", {"ca_file": "is for TLS: give an https:// url"}),
        (
            "http://c, cert_file: /c, key_file: /k",
            dict.fromkeys(("cert_file", "key_file"), "is for TLS: give an https:// url"),
        ),
    ],
)
def test_what_belongs_to_tls_stands_together(control: str, wrong: dict[str, str]) -> None:
    found = problems_of(f"control: {{url: {control}}}")
    assert {field: message for field, _, message in found} == {
        f"control.{name}": message for name, message in wrong.items()
    }


@pytest.mark.parametrize(
    ("old", "field", "line"),
    [
        ('{url: "http://127.0.0.1:9800", token_file: /run/secrets/splitway}', "control", 13),
        ("{prefix: /}", "routes[0].match.path", 12),
        ("{path: {prefix: /}}", "routes[0].match", 12),
        ("[{header: X-User-Id}, {cookie: session}, client_ip]", "services.shop.sticky.key", 10),
        ("{header: X-User-Id}", "services.shop.sticky.key[0]", 10),
    ],
)
def test_a_text_that_no_setting_may_be(old: str, field: str, line: int) -> None:
    said = "control characters and line breaks are not allowed: '\\x1f'"
    assert problems_of(EXAMPLE.replace(old, '"\\x1f"')) == [(field, line, said)]


def test_an_end_to_listing() -> None:
    found = problems_of("x: 1\n" + "".join(f"x{n}: 1\n" for n in range(5000)))
    assert len(found) == 1001
    assert found[-1] == ("", 1000, "there are more problems than these 1000")


def test_an_echo_is_not_a_problem() -> None:
    text = EXAMPLE.replace("    versions:", "    versions: 5\n    timeouts:").replace(
        '{endpoints: ["http://127.0.0.1:9001"]}', "1"
    )
    fields = [field for field, _, _ in problems_of(text)]
    assert "services.shop.versions" in fields
    assert not any(field.startswith(("services.shop.weights", "routes")) for field in fields)
    assert [problem[0] for problem in problems_of(EXAMPLE.replace("  shop:", "  - shop:"))] == [
        "services"
    ]


def test_null_leaves_an_optional_field_out() -> None:
    config = parse_config(EXAMPLE + "access_log:\n")
    assert config.access_log is None
    empty = EXAMPLE.replace("{header: X-User-Id}", "{header: X-User-Id, cookie: null}")
    assert parse_config(empty) == parse_config(EXAMPLE)
