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
    assert config.routes == (c.Route("shop", c.Match(path=c.PathMatch(prefix="/"))),)
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


# What to replace in FULL, by what, and the only problem that must come of it.
MISTAKES = [
    # types
    ("stable: 95", "stable: '95'", "services.shop.weights.stable", 19,
     "expected a whole number, got '95'; leave out the quotes"),
    ("stable: 95", "stable: true", "services.shop.weights.stable", 19,
     "expected a whole number, got true"),
    ("stable: 95", "stable:", "services.shop.weights.stable", 19,
     "expected a whole number, got nothing"),
    ("stable: 95", "stable: [1]", "services.shop.weights.stable", 19,
     "expected a whole number, got a list"),
    ("stable: 95", "stable: {a: 1}", "services.shop.weights.stable", 19,
     "expected a whole number, got a mapping"),
    ("salt: shop-2026", "salt: 2026", "services.shop.salt", 31,
     "expected text, got 2026; write it in quotes"),
    ("connect_s: 1.5", "connect_s: soon", "services.shop.timeouts.connect_s", 33,
     "expected a number, got 'soon'"),
    ("connect_s: 1.5", "connect_s: .inf", "services.shop.timeouts.connect_s", 33,
     "expected a number, got '.inf'"),
    ("debug_header: true", "debug_header: 1", "debug_header", 95,
     "expected true or false, got 1"),
    ("debug_header: true", "debug_header: 'true'", "debug_header", 95,
     "expected true or false, got 'true'; leave out the quotes"),
    ("access_log:\n  path: /var/log/splitway.jsonl", "access_log: yes", "access_log", 93,
     "expected a mapping of fields, got 'yes'"),
    ('endpoints: ["http://api:8000"]', 'endpoints: "http://api:8000"',
     "services.api.versions.v1.endpoints", 41, "expected a list, got 'http://api:8000'"),
    ('versions:\n      v1:\n        endpoints: ["http://api:8000"]', "versions: []",
     "services.api.versions", 39, "expected a mapping of names, got a list"),
    ("      key: [generated]", "      key: [[generated]]", "services.api.sticky.key[0]", 43,
     ("expected client_ip or generated, or a mapping of cookie, generated, header, jwt, query; "
      "got a list")),
    # ranges
    ("stable: 95", "stable: -5", "services.shop.weights.stable", 19,
     "expected a whole number ≥ 0, got -5"),
    ("stable: 95", "stable: 1000001", "services.shop.weights.stable", 19,
     "expected a whole number ≤ 1000000, got 1000001"),
    ("connect_s: 1.5", "connect_s: 0", "services.shop.timeouts.connect_s", 33,
     "expected a number > 0, got 0"),
    ("connect_s: 1.5", "connect_s: 1e9", "services.shop.timeouts.connect_s", 33,
     "expected a number ≤ 86400, got 1000000000.0"),
    ("connect_s: 1.5", "connect_s: " + "9" * 400, "services.shop.timeouts.connect_s", 33,
     "expected a number ≤ 86400, got " + "9" * 60 + "…"),
    ("grace_s: 2", "grace_s: -1", "drain.grace_s", 90, "expected a number ≥ 0, got -1"),
    ("salt: shop-2026", f"salt: {'x' * 257}", "services.shop.salt", 31,
     "expected at most 256 characters, got 257"),
    ("cookie: session", 'cookie: ""', "services.shop.sticky.key[1].cookie", 24,
     "must not be empty"),
    ("header: X-User-Id", "header: X User", "services.shop.sticky.key[0].header", 23,
     "expected a field name, got 'X User'"),
    ("url: https://control.internal:9800/", "url: control.internal", "control.url", 66,
     "expected http://host:port or https://host:port, without a path, got 'control.internal'"),
    ("- name: web", "- name: -web", "listeners[0].name", 2,
     ("expected 1–63 letters, digits, '.', '_' or '-'; starts and ends with a letter or digit, "
      "got '-web'")),
    ("  api:\n", "  api gateway:\n", "services.api gateway", 38, None),
    ('endpoints: ["http://api:8000"]', "endpoints: []", "services.api.versions.v1.endpoints", 41,
     "must not be empty"),
    # fields
    ("trusted_proxies:", "trusted_proxys:", "trusted_proxys", 69,
     "unknown field, did you mean `trusted_proxies`?"),
    ("  idle_s", "  zzz", "services.shop.timeouts.zzz", 35,
     "unknown field; known here: connect_s, idle_s, request_s, response_s, stream_idle_s"),
    ("    bind: 0.0.0.0:8080\n", "", "listeners[0].bind", 2, "required, but missing"),
    ("  - service: api\n    match:", "  - match:", "routes[0].service", 45,
     "required, but missing"),
    # references and rules between fields
    ("      canary: 5\n", "      green: 5\n", "services.shop.weights.green", 20,
     "unknown version; known here: canary, stable"),
    ("      canary: 5\n", "      canery: 5\n", "services.shop.weights.canery", 20,
     "unknown version, did you mean `canary`?"),
    ("      stable: 95\n      canary: 5\n", "      stable: 0\n      canary: 0\n",
     "services.shop.weights", 18, "all weights are 0; at least one version must get traffic"),
    ("    weights:\n      stable: 95\n      canary: 5\n", "", "services.shop.weights", 9,
     "required where there are several versions: canary, stable"),
    ("  - service: api", "  - service: payments", "routes[0].service", 45,
     "unknown service 'payments'"),
    ("        - header: X-User-Id", "        - {}", "services.shop.sticky.key[0]", 23,
     "expected exactly one of header, cookie, query, jwt, generated; got none"),
    ("        - header: X-User-Id", "        - {header: a, cookie: b}",
     "services.shop.sticky.key[0]", 23,
     "expected exactly one of header, cookie, query, jwt, generated; got cookie, header"),
    ("        prefix: /\n", "        {}\n", "routes[2].match.path", 63,
     "expected exactly one of exact, prefix, segment_prefix; got none"),
    ("exact: /index.html", "exact: index.html", "routes[1].match.path.exact", 60,
     "a path begins with /, got 'index.html'"),
    ("exact: /index.html", "exact: /index?a", "routes[1].match.path.exact", 60,
     "a path as it is sent holds no '?'; percent-encode it"),
    ("exact: /index.html", "exact: /ä", "routes[1].match.path.exact", 60,
     "a path as it is sent holds no 'ä'; percent-encode it"),
    ("host: shop.example.com", "host: '*'", "routes[1].match.host", 58,
     "leave host out to match every host"),
    ("host: shop.example.com", "host: shop.*.com", "routes[1].match.host", 58,
     "`*` stands only in front, as in *.example.com; got 'shop.*.com'"),
    ("host: shop.example.com", "host: shop.example.com:80", "routes[1].match.host", 58,
     "requests' ports are ignored; leave the port out of 'shop.example.com:80'"),
    ("host: shop.example.com", "host: '[::1]:80'", "routes[1].match.host", 58,
     "requests' ports are ignored; leave the port out of '[::1]:80'"),
    ("host: shop.example.com", "host: shop example", "routes[1].match.host", 58,
     "'shop example' is not a host name"),
    ("- http://[::1]:9001", "- http://stable-1.INTERNAL:9001",
     "services.shop.versions.stable.endpoints[1]", 14,
     "the same endpoint as services.shop.versions.stable.endpoints[0]"),
    ("- http://[::1]:9001", "- https://[::1]:9001",
     "services.shop.versions.stable.endpoints[1]", 14,
     "TLS to endpoints is not supported yet; use http://"),
    ("name: local", "name: web", "listeners[1].name", 4, "the same name as listeners[0].name"),
    ("bind: unix:/run/splitway/web.sock", "bind: 0.0.0.0:8080", "listeners[1].bind", 5,
     "the same address as listeners[0].bind"),
    ("bind: unix:/run/splitway/web.sock", "bind: /web.sock", "listeners[1].bind", 5,
     "expected host:port, [v6]:port or unix:/path, got '/web.sock'"),
    ('bind: "[::1]:9900"', "bind: 0.0.0.0:8080", "admin.bind", 7,
     "the same address as listeners[0].bind"),
    ("- 10.0.0.0/8", "- 10.0.0.1/8", "trusted_proxies[0]", 70,
     "10.0.0.1/8 has bits beyond its prefix; did you mean 10.0.0.0/8?"),
    ("- 10.0.0.0/8", "- load-balancer", "trusted_proxies[0]", 70,
     "expected a CIDR such as 10.0.0.0/8 or an address, got 'load-balancer'"),
    ("url: https://control.internal:9800/", "url: https://a:b@c", "control.url", 66,
     "a user or password is not supported; give token_file"),
    ("url: https://control.internal:9800/", "url: http://c:99999", "control.url", 66,
     "the port must be a number from 1 to 65535, got '99999'"),
    # variables and YAML itself
    ("stable: 95", "stable: ${WEIGHT}", "services.shop.weights.stable", 19,
     "${WEIGHT} is not set in the environment; set it, or give a default: ${WEIGHT:-…}"),
    ("salt: shop-2026", "salt: ${1}", "services.shop.salt", 31,
     "`${` must open `${NAME}` or `${NAME:-default}`; write `$${` for the characters"),
    ("salt: shop-2026", 'salt: "a\\tb"', "services.shop.salt", 31,
     "control characters and line breaks are not allowed: 'a\\tb'"),
    ("salt: shop-2026", "salt: !secret x", "services.shop.salt", 31,
     "the tag '!secret' is not supported"),
    ("- header: X-User-Id", "- !source {header: X-User-Id}", "services.shop.sticky.key[0]", 23,
     "the tag '!source' is not supported"),
    ("      canary: 5\n", "      canary: 5\n      canary: 6\n", "services.shop.weights.canary", 21,
     "given twice, on line 20 and on line 21"),
    ("  grace_s: 2", "  <<: {grace_s: 2}", "drain.<<", 90,
     "merge keys are not supported; write the fields out"),
    ('admin:\n  bind: "[::1]:9900"', "? [admin]\n: 1", "", 6,
     "a key must be plain text, not an alias, a list or a mapping"),
    ("salt: shop-2026", "salt: *nothing", "", 31,
     "alias *nothing names no anchor (&nothing) before it"),
    ("salt: shop-2026", "salt: &me [*me]", "", 31, "alias *me stands inside what it names"),
    ("salt: shop-2026", "salt: a: b", "", 31,
     "not valid YAML: mapping values are not allowed in this context"),
    ("salt: shop-2026", "salt: {a: ${X}}", "", 31,
     ("not valid YAML: did not find expected ',' or '}'; inside {} or [] a `${…}` must be quoted, "
      "or else stand on a line of its own")),
    ("debug_header: true", "---\ndebug_header: true", "", 95,
     "a second document begins; one text is one configuration"),
    ("salt: shop-2026", "salt: a\0b", "", 31, "character U+0000 is not allowed in YAML"),
    ("salt: shop-2026", "salt: a\ud800b", "", 31, "character U+D800 is not allowed in YAML"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "field", "line", "message"), MISTAKES)
def test_one_mistake(old: str, new: str, field: str, line: int, message: str | None) -> None:
    assert old in FULL
    found = problems_of(FULL.replace(old, new, 1))
    if message is None:
        # The name is wrong, and so the route to the name that was meant.
        assert [problem[:2] for problem in found] == [(field, line), ("routes[0].service", 45)]
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
    assert problems_of(text, W=value) == [("services.shop.weights.canary", 20, message)]


def test_variables_do_not_expand_in_keys() -> None:
    found = problems_of("${A}: 1\ncontrol: {url: 'http://c:1'}", A="admin")
    assert found[0][0] == "${A}"


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
