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
          - url: http://canary-2.internal:9001
            weight: 3
            zone: eu-1b
          - dns://canary.internal:9001
        request_headers:
          set:
            X-Release: canary
          add:
            X-Seen: canary
          remove: [X-Debug]
        response_headers:
          set:
            X-Served-By: canary
          add:
            Vary: X-Release
          remove: [Server]
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
            path: /shop
            domain: example.com
            same_site: Strict
            secure: true
      mode: pin
      pin:
        cookie: shop_version
        secrets: [a secret of ours, another secret of ours]
        epoch: 3
        at_zero:
          drain_until: 3600
        max_age_s: 2592000
        path: /shop
        domain: example.com
        same_site: None
        secure: true
      override:
        header: X-Splitway-Version
        secret: the secret of testers
    salt: shop-2026
    timeouts:
      connect_s: 1.5
      response_s: 30
      idle_s: 20
      request_s: 900
      stream_idle_s: 7200
    balance:
      policy: ring_hash
      bounded_load: 2
      slow_start_s: 30
    health:
      path: /healthz?deep=1
      host: shop.internal
      interval_s: 2
      jitter: 0.2
      timeout_s: 1
      healthy_after: 1
      unhealthy_after: 2
      statuses: ["200", "301-302"]
    outliers:
      consecutive_5xx: 3
      consecutive_gateway_errors: 2
      interval_s: 1
      base_ejection_s: 10
      max_ejection_s: 120
      max_ejected_percent: 50
      success_rate_hosts: 3
      success_rate_requests: 50
      success_rate_factor: 2.5
    panic_percent: 50
    fallback:
      version: stable
    breakers:
      max_requests: 500
      max_connections: 200
      max_pending: 50
    segments:
      country:
        header: CF-IPCountry
        values: [de, fr]
        metrics: true
      plan:
        cookie: plan
        values: [free, paid]
      beta:
        query: beta
        values: ["on"]
      tier:
        jwt: tier
        values: [gold]
      from:
        networks:
          office: [10.0.0.0/8]
  api:
    versions:
      v1:
        endpoints: ["http://api:8000"]
    sticky:
      key: [generated]
      override:
        cookie: version
routes:
  - service: api
    match:
      host: "*.example.com"
      path:
        segment_prefix: /api
        ignore_case: true
      methods: [GET, POST]
      headers:
        X-Env:
          exact: canary
        X-Old:
          present: false
        X-Build:
          regex: "[0-9]+"
        X-Team:
          prefix: shop-
          invert: true
      query:
        debug:
          exact: "1"
        lang:
          prefix: de
          invert: true
        page:
          regex: "[0-9]+"
        raw:
          present: true
      cookies:
        beta:
          exact: "yes"
        group:
          prefix: a
          invert: true
        id:
          regex: "[0-9a-f]+"
        seen:
          present: true
      fraction: 0.25
    timeouts:
      connect_s: 2
      response_s: 300
      idle_s: 90
      request_s: 0
      stream_idle_s: 600
  - redirect:
      path: /
    match:
      host: shop.example.com
      path:
        exact: /index.html
  - redirect:
      scheme: https
      host: www.example.com
      port: 8443
      prefix: /shop
      keep_query: false
      status: 308
    match:
      path:
        segment_prefix: /old-shop
  - redirect:
      regex:
        pattern: "/(de|en)/"
        to: '/\\1-eu/'
    match:
      host: eu.example.com
  - respond:
      status: 410
      body: gone
      content_type: text/html
    match:
      path:
        exact: /gone
    response_headers:
      set:
        Cache-Control: max-age=3600
      add:
        Link: </>; rel=home
      remove: [X-Powered-By]
  - service: shop
    match:
      path:
        regex: "/items/[0-9]+"
    rewrite:
      regex:
        pattern: "/items/([0-9]+)"
        to: '/v2/items/\\1'
      host: items.internal:8080
    request_headers:
      set:
        X-Route: items
      add:
        X-Via: shop
      remove: [Cookie]
    cors:
      allow_origins: ["https://*.example.com"]
      allow_methods: [GET, PUT]
      allow_headers: [X-Item]
      expose_headers: [X-Price]
      allow_credentials: true
      max_age_s: 600
  - service: api
    match:
      path:
        exact: /status
    rewrite:
      path: /internal/status
  - service: api
    match:
      path:
        prefix: /v1/
    rewrite:
      prefix: /
    retry:
      retries: 2
      conditions: [timeout, "500-599"]
      methods: all
      per_try_s: 2
      backoff_s: 0.1
      max_backoff_s: 1
      replay_bytes: 1048576
      budget_percent: 10
      budget_min: 10
    rate_limit:
      per_s: 100
      burst: 50
  - service: shop
    match:
      path:
        prefix: /shadowed/
    mirror:
      - version: canary
        fraction: 0.1
        host_suffix: -shadow
        body_bytes: 1048576
        max_active: 16
    fault:
      delay_s: 2
      delay_percent: 10
      abort_status: 503
      abort_percent: 1
      headers:
        X-Chaos:
          present: true
        X-Kind:
          exact: delay
          invert: true
        X-Level:
          regex: "[0-9]+"
        X-Team:
          prefix: shop-
      max_active: 100
  - service: shop
    match:
      path:
        prefix: /
control:
  url: https://control.internal:9800/
  token_file: /run/secrets/splitway
  ca_file: /run/secrets/ca.pem
  cert_file: /run/secrets/proxy.pem
  key_file: /run/secrets/proxy-key.pem
  state_file: /tmp/last-good.json
zone: eu-1a
discovery:
  dns_servers: ["10.0.0.2", "127.0.0.1:5353"]
  timeout_s: 2
  max_ttl_s: 30
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
