# syntax=docker/dockerfile:1
# Run:  docker run --rm --gpus all --ipc host --stop-timeout 120 \
#         -v "$PWD/data:/data" -v "$PWD/runs:/runs" places fit --config demo.yaml --data.root /data/sample
# The tag names a release line. To fix the image to the byte, look its digest up once with
#   docker buildx imagetools inspect python:3.11-slim-bookworm
# and build with  --build-arg PYTHON_IMAGE=python:3.11-slim-bookworm@sha256:...
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS builder
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
# The packages come first: a change of the source keeps this layer of several gigabytes.
COPY requirements.txt .
RUN --mount=type=cache,target=/root/.cache/pip \
    sed '/^# development$/,$d' requirements.txt > runtime.txt \
    && python -m venv /opt/places \
    && /opt/places/bin/pip install --requirement runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY configs configs
COPY src src
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv /opt/build \
    && /opt/build/bin/pip install --constraint requirements.txt hatchling \
    && /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
    && /opt/places/bin/pip install --no-deps dist/*.whl \
    && /opt/places/bin/pip check

FROM ${PYTHON_IMAGE}
ARG REVISION=unknown
LABEL org.opencontainers.image.title="places" \
      org.opencontainers.image.description="Train, validate, test and run scene classifiers on Places365" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.revision="${REVISION}"
# gcc and libc6-dev serve `model.compile: true`. They have no pinned versions: Debian keeps only the
# newest build of a package, so a pinned one would stop being found.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --create-home places \
    && mkdir /data /runs /work \
    && ln -s /data /work/data \
    && ln -s /runs /work/runs \
    && chown -R places:places /data /runs /work
COPY --from=builder /opt/places /opt/places
ENV PATH=/opt/places/bin:$PATH \
    HOME=/home/places \
    PYTHONUNBUFFERED=1
USER 1000
# Runs go to ./runs, so the working folder links to the volumes.
WORKDIR /work
VOLUME ["/data", "/runs"]
# On SIGTERM a training saves its state and ends; give it time with --stop-timeout.
STOPSIGNAL SIGTERM
ENTRYPOINT ["tini", "--", "places"]
CMD ["--help"]
