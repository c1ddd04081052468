# Builds the image of any service in the workspace: docker build --build-arg SERVICE=rates .
#
#   --target test   runs the workspace's tests

# For reproducible builds, pin these by digest (rust@sha256:...). Not the slim image of Rust: the allocator is built by make.
ARG RUST_IMAGE=rust:1.95-bookworm
ARG BASE_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM ${RUST_IMAGE} AS source
WORKDIR /src
# Without a database, queries are checked against .sqlx.
ENV SQLX_OFFLINE=true
COPY . .
# Cargo detects changes by time stamp, and the target directory below is cached across builds: a changed file that is
# older than the last build (from another branch) would not be compiled. Dependencies keep their time stamps and stay
# cached.
RUN find . -type f -exec touch {} +

FROM source AS build
ARG SERVICE=rates
ARG TARGETARCH
# For build.rs, since the build context has no .git.
ARG GIT_REVISION=unknown
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,id=target-${TARGETARCH},target=/src/target,sharing=locked \
    cargo build --locked --release --package "${SERVICE}" --bin "${SERVICE}" && \
    install -D "target/release/${SERVICE}" /out/service && \
    install -d /out/state/service /out/log/app

FROM source AS test
# The tests need a PostgreSQL, which refuses to run as root, and start Redis servers of their own.
RUN apt-get update && \
    apt-get install --yes --no-install-recommends postgresql redis-server && \
    rm -rf /var/lib/apt/lists/* && \
    useradd --uid 1000 --create-home tester && \
    chown -R tester /src
USER 1000:1000
RUN --mount=type=cache,target=/usr/local/cargo/registry,uid=1000 \
    --mount=type=cache,id=target-test,target=/src/target,uid=1000,sharing=locked \
    db/private_postgres.sh --fast -- cargo test --locked --workspace

FROM ${BASE_IMAGE}
COPY docker/rds-global-bundle.pem /etc/ssl/certs/rds-global-bundle.pem
COPY --from=build /out/service /usr/local/bin/service
# Services keep their files (certificates, logs) here. A volume mounted here inherits the owner.
COPY --from=build --chown=65532:65532 /out/state/ /var/lib/
COPY --from=build --chown=65532:65532 /out/log/ /var/log/
WORKDIR /var/lib/service
# By default metrics listen on localhost only, which nothing outside a container could reach.
ENV RATES__SERVER__METRICS_HOST=0.0.0.0 \
    MESSAGES__SERVER__METRICS_HOST=0.0.0.0 \
    TRANSFER__SERVER__METRICS_HOST=0.0.0.0 \
    MULTIVAC__SERVER__METRICS_HOST=0.0.0.0 \
    MULTIVAC__SERVER__HOST=0.0.0.0 \
    MULTIVAC_LOG_DIR=/var/log/app
# A number, so that a platform can check that it is not root.
USER 65532:65532
EXPOSE 3000 5000 8080 9464 9465 9466 9467
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["/usr/local/bin/service", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/service"]
ARG SERVICE=rates
ARG GIT_REVISION=unknown
ARG VERSION=unknown
LABEL org.opencontainers.image.title="${SERVICE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${GIT_REVISION}" \
      org.opencontainers.image.licenses="MIT"
