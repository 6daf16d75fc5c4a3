# One image for every role: docker run IMAGE start | receiver | dispatcher | ...
# Runs as uid 65532 and writes only to /data and /tmp, so the root may be read-only.

# Another one must be Debian 12 too: the libraries below are named as there.
ARG BASE=debian:12-slim

FROM ${BASE} AS build
WORKDIR /src
# The packages first: this layer stays while only sources change.
COPY dev ./
RUN ./dev packages
COPY . .
RUN cmake --preset release -DGUARD_TESTS=OFF \
 && cmake --build build/release \
 && DESTDIR=/out cmake --install build/release --prefix /usr --strip

FROM ${BASE}
LABEL org.opencontainers.image.title="Pipeline Guard" \
      org.opencontainers.image.description="Self-hosted, self-healing CI/CD guard" \
      org.opencontainers.image.licenses="Apache-2.0"
# What the program links, and the Redis that `start` runs; only libraries, no compilers.
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      ca-certificates redis-server tini git bubblewrap libseccomp2 \
      libarchive13 libc-ares2 libcurl4 libcyaml1 libevent-2.1-7 libevent-openssl-2.1-7 libgit2-1.5 \
      libhiredis0.14 libhttp-parser2.9 libjson-c5 libpcre2-8-0 libsimdjson14 libssl3 libyaml-0-2 \
 && if apt-cache show libhyperscan5 >/dev/null 2>&1; then \
      apt-get install -y --no-install-recommends libhyperscan5; fi \
 && rm -rf /var/lib/apt/lists/* /etc/redis \
 && install -d -o 65532 -g 65532 -m 0700 /data
COPY --from=build /out/ /
COPY docker/probe.sh /usr/bin/guard-probe
# A library that is missing shows here and not in production.
RUN pipeline-guard version

USER 65532:65532
WORKDIR /data
VOLUME /data
ENV PIPELINE_GUARD_DATA_DIR=/data \
    PIPELINE_GUARD_CHANGE_FOLDER=/data \
    PIPELINE_GUARD_LISTEN=0.0.0.0:8080 \
    PIPELINE_GUARD_ADMIN_LISTEN=0.0.0.0:9090
EXPOSE 8080 9090
# `start` and `receiver` answer on 8080, a dispatcher only on 9090.
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 CMD guard-probe /health 8080 9090
ENTRYPOINT ["tini", "--", "pipeline-guard"]
CMD ["start"]
