"""Owns the four kinds of load that wrk makes, as data and as the Lua that wrk runs.

Requests are formatted once and sent in turn, so that the generator's own cost stays small. Never
measures anything.
"""

from dataclasses import dataclass

HOST = "shop.example"
USER = "X-User-Id"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of load."""

    name: str
    what: str
    """In words, for the tables."""
    connections: int
    method: str = "GET"
    path: str = "/api/items"
    headers: tuple[tuple[str, str], ...] = ()
    body_bytes: int = 0
    users: int = 500

    def script(self) -> str:
        """The Lua that wrk runs."""
        fields = "".join(f', ["{name}"] = "{value}"' for name, value in self.headers)
        body = f'string.rep("b", {self.body_bytes})' if self.body_bytes else "nil"
        return _SCRIPT.format(
            users=self.users, body=body, method=self.method, path=self.path,
            host=HOST, user=USER, fields=fields,
        )  # fmt: skip


_SCRIPT = """\
local ready, turn = {{}}, 0

function init()
  local body = {body}
  for user = 1, {users} do
    local fields = {{ ["Host"] = "{host}", ["{user}"] = "user-" .. user{fields} }}
    ready[user] = wrk.format("{method}", "{path}", fields, body)
  end
end

function request()
  turn = turn % {users} + 1
  return ready[turn]
end
"""

BROWSER = (
    ("Accept", "application/json"),
    ("User-Agent", "bench"),
    ("Cookie", "session=0123456789abcdef"),
)

_ALL = (
    Scenario("keepalive", "Small GET, 64 kept-alive connections", 64, headers=BROWSER),
    Scenario(
        "post16k", "POST of 16 KiB, 64 kept-alive connections", 64,
        method="POST", body_bytes=16_384,
        headers=(("Content-Type", "application/octet-stream"),),
    ),
    Scenario("get1m", "GET of 1 MiB, 16 kept-alive connections", 16, path="/1m.bin"),
    Scenario(
        "churn", "Small GET, a connection per request, 64 at a time", 64,
        headers=(("Connection", "close"),),
    ),
)  # fmt: skip
SCENARIOS = {scenario.name: scenario for scenario in _ALL}
