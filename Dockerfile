# One image for the proxy, the control plane and the operator's command line. How to run each:
# README.md, "Docker". tests/e2e/test_image.py runs the builder's steps as they stand here.

# 3.11 is what every test runs on. Bookworm: uvloop, mmh3 and msgspec have wheels for its glibc. The
# builder is not the slim image because it has a compiler, for our own hot modules (docs/adr/0009).
FROM python:3.11-bookworm AS builder
WORKDIR /src
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY proxy proxy
COPY controlplane controlplane
# pip leaves the environment when its work is done. The byte code carries no time stamps: an image
# is never edited, so nothing has to be compared at start.
RUN python -m venv /opt/splitway \
    && SPLITWAY_COMPILE=1 /opt/splitway/bin/python -m pip install --no-cache-dir --no-compile --disable-pip-version-check '.[control]' \
    && /opt/splitway/bin/python -m pip uninstall --yes --quiet pip setuptools \
    && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/splitway/lib

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="splitway" \
      org.opencontainers.image.description="Traffic-splitting sidecar proxy and its control plane" \
      org.opencontainers.image.licenses="Apache-2.0"
# A fixed number, because Kubernetes' runAsNonRoot and volumes know users by number only. The base
# image's own pip is of no use here, and one thing less to patch.
RUN groupadd --gid 10001 splitway \
    && useradd --uid 10001 --gid 10001 --no-log-init --no-create-home \
        --home-dir /var/lib/splitway --shell /usr/sbin/nologin splitway \
    && install -d -o 10001 -g 10001 -m 0750 /var/lib/splitway \
    && install -d -m 0755 /etc/splitway \
    && python -m pip uninstall --yes --quiet --root-user-action=ignore pip setuptools wheel
COPY --from=builder /opt/splitway /opt/splitway
ENV PATH="/opt/splitway/bin:$PATH" \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# The last good snapshot (proxy), the database (control plane).
WORKDIR /var/lib/splitway
USER 10001:10001
EXPOSE 8080 9800
STOPSIGNAL SIGTERM
# -I: what lies in the working directory is no code of ours.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["python", "-I", "-m", "proxy.healthcheck"]
CMD ["splitway-proxy", "--config", "/etc/splitway/proxy.yaml"]
