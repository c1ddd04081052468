# A service's image and a dump, for loading it as a one-off task next to the database: `load --if-empty /dump.sql`.
# build_push_docker_image.sh --dump builds it.
ARG SERVICE_IMAGE
# hadolint ignore=DL3006 # it ends in a digest
FROM ${SERVICE_IMAGE}
# Gzipped or not: what reads it looks at the content, not at the name.
COPY --chmod=0444 dump.sql /dump.sql
