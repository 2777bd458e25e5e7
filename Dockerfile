# Foregate in a container: docker build -t foregate .
#
# Debian's own Python 3.11 on Debian 12: why, and what was measured, stands in docs/adr/0060-the-container-image.md.
# Both stages use one base; name another, or pin it by digest: --build-arg BASE=debian@sha256:...
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS build
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        binutils gcc libc6-dev python3 python3-dev python3-venv
WORKDIR /build
COPY requirements.lock requirements-compile.lock ./
# Nothing is fetched that the lock files do not name with its hash, and of it nothing is compiled.
RUN python3 -m venv tools \
    && tools/bin/pip install --no-cache-dir --no-compile --require-hashes --only-binary :all: \
        -r requirements-compile.lock \
    && python3 -m venv --without-pip /opt/foregate \
    && tools/bin/pip --python /opt/foregate/bin/python install --no-cache-dir --no-compile --require-hashes \
        --only-binary :all: -r requirements.lock
COPY pyproject.toml README.md CHANGELOG.md ./
COPY scripts/compiled.py scripts/
COPY acme acme
COPY proxy proxy
# The hot modules are compiled (docs/adr/0061-compiled-modules.md): --build-arg COMPILED=0 leaves them as they are.
ARG COMPILED=1
# Byte code is compiled once, here, since the image may be read-only; without times in it, so that builds are alike.
RUN HATCH_BUILD_HOOK_ENABLE_CUSTOM=${COMPILED} tools/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir wheels . \
    && tools/bin/pip --python /opt/foregate/bin/python install --no-cache-dir --no-compile --no-deps --no-index \
        wheels/*.whl \
    && find /opt/foregate -name '*.pyi' -delete \
    && find /opt/foregate -name '*.so*' -exec strip --strip-unneeded {} + \
    && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/foregate/lib

FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="Foregate" \
    org.opencontainers.image.description="A reverse proxy with automatic certificates, a per-client rate limiter and a 3-second cache" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
# The interpreter may bind ports 80 and 443 where the container may (permitted, not effective: it starts without, too).
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ca-certificates python3 \
    && python3 -c 'import os, struct; os.setxattr(os.path.realpath("/usr/bin/python3"), "security.capability", struct.pack("<5I", 2 << 24, 1 << 10, 0, 0, 0))' \
    && groupadd --gid 10001 foregate \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/foregate --shell /usr/sbin/nologin foregate \
    && install -d -o foregate -g foregate -m 0700 /var/lib/foregate \
    && install -d /etc/foregate \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/cache/ldconfig/aux-cache \
        /var/lib/dpkg/*-old /var/log/apt /var/log/*.log
COPY --from=build /opt/foregate /opt/foregate
# Metrics on the container's own loopback interface would be out of Prometheus' reach; the volume is the storage.
ENV PATH=/opt/foregate/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    FOREGATE_METRICS=:9145 \
    FOREGATE_STORAGE=/var/lib/foregate
USER 10001:10001
VOLUME /var/lib/foregate
EXPOSE 80 443 9145
# SIGTERM drains: 8 s by default, under the 10 s that Docker waits. Foregate is a good PID 1 by itself.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s CMD ["foregate", "health"]
ENTRYPOINT ["foregate"]
CMD ["run"]
