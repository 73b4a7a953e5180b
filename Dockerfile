# The BIDS App in a container; docs/containers.md says how to run it. In the root of the repository:
#   docker build --tag synthseg-bids:0.1.0 --build-arg TORCH_INDEX=ADDRESS .
#   docker build --tag synthseg-bids:0.1.0-cuda --build-arg TORCH=cuda .
FROM python:3.11-slim-bookworm AS build
# cpu, or cuda for NVIDIA GPUs.
ARG TORCH=cpu
# Package index of PyTorch's builds for CPUs; without it the image holds the larger usual ones, which work as well.
ARG TORCH_INDEX=
WORKDIR /src
# Apart from the package, so that a change of the code does not install torch again.
COPY constraints.txt envs/container.sh ./
RUN TORCH_INDEX="$TORCH_INDEX" sh container.sh torch "$TORCH"
COPY pyproject.toml README.md LICENSE ./
COPY synthseg_core synthseg_core
COPY workflow workflow
COPY config config
COPY profiles profiles
COPY envs envs
RUN sh container.sh package

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="synthseg-bids" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/synthseg /opt/synthseg
# A user that the image does not know (docker run --user) has neither a name nor a home folder.
ENV PATH="/opt/synthseg/bin:$PATH" \
    SYNTHSEG_MODELS="/models" \
    SYNTHSEG_CONTAINER="docker://synthseg-bids:0.1.0" \
    PYTHONNOUSERSITE="1" \
    HOME="/tmp" \
    LOGNAME="synthseg"
RUN useradd --uid 1000 --home-dir /tmp --no-create-home synthseg && mkdir --mode 1777 /models
USER 1000
WORKDIR /tmp
ENTRYPOINT ["synthseg-bids"]
