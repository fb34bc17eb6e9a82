# One image for every service: `dagway api`, `dagway scheduler`, `dagway worker`, and `dagway migrate`.
#
#   docker build --tag dagway:0.1.0 .
#   docker build --target worker --tag dagway-worker:0.1.0 .     with common tools for steps
#
# deploy/image/bake.hcl builds both for amd64 and arm64.
#
# It runs as user 10001 (a worker may start as root instead, see docs/operations/isolation.md) on a read-only root file system and writes only to /data and /tmp. The process handles SIGTERM
# itself, so it needs no init program.

# The build image: any image with Python 3.11 or newer, its venv module and pip. The final image is built from scratch
# and holds only the files that it needs: it is small and offers little to an attacker. For a reproducible build, pin
# the build image by digest: --build-arg PYTHON_IMAGE=python:3.13-slim@sha256:...
ARG PYTHON_IMAGE=python:3.13-slim
# Bundles the web pages and their editor. Nothing of Node.js is in the final images.
ARG NODE_IMAGE=node:22-slim

FROM ${NODE_IMAGE} AS editor
WORKDIR /src/editor
COPY editor ./
COPY services/api/web /src/services/api/web
RUN npm ci && node build.mjs /built

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
# Dependencies first: they change seldom, so a new version of Dagway reuses these layers.
COPY requirements.lock build.lock docs.lock ./
RUN python3 -m venv --without-pip /opt/dagway \
    && python3 -m venv /opt/build \
    && python3 -m pip --python /opt/dagway/bin/python install --no-compile --require-hashes -r requirements.lock \
    && /opt/build/bin/pip install --require-hashes -r build.lock -r docs.lock
COPY pyproject.toml hatch_build.py README.md LICENSE NOTICE CONTRIBUTING.md SECURITY.md CHANGELOG.md mkdocs.yml ./
COPY scripts/build_editor.py scripts/
COPY dagway dagway
COPY examples examples
COPY services services
COPY shared shared
COPY docs docs
COPY scripts/docs_site.py scripts/
COPY --from=editor /built services/api/web/built
# Fixed timestamps and hash-based byte code make the layer reproducible. Root owns all files: the service can read its own
# code but not change it.
ENV SOURCE_DATE_EPOCH=1767225600
RUN NO_MKDOCS_2_WARNING=1 /opt/build/bin/mkdocs build --quiet --strict \
    && /opt/build/bin/pip wheel --no-deps --no-build-isolation --no-index --wheel-dir /wheels . \
    && python3 -m pip --python /opt/dagway/bin/python install --no-compile --no-deps --no-index /wheels/*.whl \
    && find /opt/dagway -depth -type d \( -name tests -o -name testing \) -path '*/site-packages/*' -exec rm -r {} +
COPY deploy/image/rootfs.py deploy/image/
RUN python3 deploy/image/rootfs.py /opt/dagway /rootfs

FROM build AS build-worker
COPY steps.lock ./
RUN python3 -m pip --python /opt/dagway/bin/python install --no-compile --require-hashes -r steps.lock \
    && python3 deploy/image/rootfs.py /opt/dagway /rootfs-worker

# Programs that steps commonly call, and users for steps: ssh, for one, refuses to run as a user without a name. To add more, build your own worker image from this one.
FROM ${PYTHON_IMAGE} AS worker
RUN apt-get update \
    && apt-get install --yes --no-install-recommends bash ca-certificates curl git jq openssh-client tzdata \
    && rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/dpkg.log /var/cache/ldconfig \
    && groupadd --gid 10001 dagway \
    && useradd --uid 10001 --gid 10001 --home-dir /data --no-create-home --shell /usr/sbin/nologin dagway \
    && for id in $(seq 20000 29999); do \
         echo "step-$id:x:$id:$id::/tmp:/usr/sbin/nologin" >> /etc/passwd; echo "step-$id:x:$id:" >> /etc/group; done \
    && install --directory --owner=10001 --group=10001 --mode=0711 /data
COPY --from=build-worker /rootfs-worker/opt/dagway /opt/dagway
ENV PATH=/opt/dagway/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/data \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DAGWAY_DATA_DIR=/data \
    DAGWAY_HOST=0.0.0.0 \
    DAGWAY_LOG_FORMAT=json
WORKDIR /data
STOPSIGNAL SIGTERM
USER 10001:10001
ENTRYPOINT ["dagway"]
CMD ["worker"]

# The last stage: what `docker build` without --target builds.
FROM scratch AS dagway
COPY --from=build /rootfs /
# Inside a container nothing can connect to loopback; the container network decides who may connect.
ENV PATH=/opt/dagway/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/data \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DAGWAY_DATA_DIR=/data \
    DAGWAY_HOST=0.0.0.0 \
    DAGWAY_LOG_FORMAT=json
WORKDIR /data
STOPSIGNAL SIGTERM
# 8080: the gateway's API. Metrics and probes are on DAGWAY_METRICS_PORT.
EXPOSE 8080
USER 10001:10001
ENTRYPOINT ["dagway"]
CMD ["--help"]
