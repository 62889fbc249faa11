# syntax=docker/dockerfile:1
# docker build -t segue .
# docker run --read-only --tmpfs /var/cache/segue:uid=65532,exec --publish 127.0.0.1:8080:8080 segue

FROM rust:1.95-bookworm AS build
# Debian's stable release pins them.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends cmake nasm nodejs npm \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target \
    cargo xtask dist --folder /opt/segue

FROM debian:bookworm-slim
COPY --from=build /opt/segue /opt/segue
# Fetched weights and copies of plugins, which are loaded from there: a volume that is not mounted noexec.
RUN install --directory --owner=65532 --group=65532 /var/cache/segue
ENV SEGUE_CACHE=/var/cache/segue \
    SEGUE_PROFILE=production \
    SEGUE_CFG__SERVER__LISTEN=0.0.0.0:8080
USER 65532:65532
WORKDIR /opt/segue
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["/opt/segue/segue"]
CMD ["serve"]
