# A service's image with a dump, to be loaded by a one-off task next to the database: `load --if-empty /dump.sql`.
# Built by build_push_docker_image.sh --dump.
ARG SERVICE_IMAGE
# hadolint ignore=DL3006 # it ends in a digest
FROM ${SERVICE_IMAGE}
# Plain or gzipped: `load` detects it by the content.
COPY --chmod=0444 dump.sql /dump.sql
