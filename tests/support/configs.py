"""Owns configuration texts that tests share: the smallest one and one that sets every field."""

EXAMPLE = """\
listeners:
  - {name: web, bind: "127.0.0.1:8080"}
admin: {bind: "127.0.0.1:9900"}
services:
  shop:
    versions:
      stable: {endpoints: ["http://127.0.0.1:9001"]}
      canary: {endpoints: ["http://127.0.0.1:9002"]}
    weights: {stable: 95, canary: 5}
    sticky: {key: [{header: X-User-Id}, {cookie: session}, client_ip]}
routes:
  - {match: {path: {prefix: /}}, service: shop}
control: {url: "http://127.0.0.1:9800", token_file: /run/secrets/splitway}   # optional
"""
"""The smallest configuration of design/product.md, word for word."""

PORTS_FREE = """\
listeners: [{name: web, bind: "127.0.0.1:0"}]
admin: {bind: "127.0.0.1:0"}
services:
  shop:
    versions:
      stable: {endpoints: ["http://127.0.0.1:1"]}
      canary: {endpoints: ["http://127.0.0.1:2"]}
    weights: {stable: 95, canary: 5}
routes:
  - {service: shop}
"""
"""Two versions that nobody serves, on ports that are free."""

FULL = """\
listeners:
  - name: web
    bind: 0.0.0.0:8080
  - name: local
    bind: unix:/run/splitway/web.sock
admin:
  bind: "[::1]:9900"
services:
  shop:
    versions:
      stable:
        endpoints:
          - http://stable-1.internal:9001
          - http://[::1]:9001
      canary:
        endpoints:
          - unix:/run/shop/canary.sock
    weights:
      stable: 95
      canary: 5
    sticky:
      key:
        - header: X-User-Id
        - cookie: session
        - query: user
        - jwt: sub
        - client_ip
        - generated:
            cookie: shop_id
            max_age_s: 86400
    salt: shop-2026
    timeouts:
      connect_s: 1.5
      response_s: 30
      idle_s: 20
      request_s: 900
      stream_idle_s: 7200
  api:
    versions:
      v1:
        endpoints: ["http://api:8000"]
    sticky:
      key: [generated]
routes:
  - service: api
    match:
      host: "*.example.com"
      path:
        segment_prefix: /api
    timeouts:
      connect_s: 2
      response_s: 300
      idle_s: 90
      request_s: 0
      stream_idle_s: 600
  - service: shop
    match:
      host: shop.example.com
      path:
        exact: /index.html
  - service: shop
    match:
      path:
        prefix: /
control:
  url: https://control.internal:9800/
  token_file: /run/secrets/splitway
  state_file: /tmp/last-good.json
trusted_proxies:
  - 10.0.0.0/8
  - 2001:db8::1
ambiguous_paths: refuse
downstream:
  head_s: 5
  body_s: 15
  write_s: 20
  min_bytes_per_s: 1000
  linger_s: 1
limits:
  connections: 5000
  head_bytes: 32768
  fields: 100
  target_bytes: 4096
  held_bytes: 33554432
  memory_bytes: 268435456
keepalive:
  downstream_s: 60
  upstream_s: 3.5
drain:
  grace_s: 2
  deadline_s: 20
  tunnel_s: 5
access_log:
  path: /var/log/splitway.jsonl
debug_header: true
"""
"""Sets every field there is."""
