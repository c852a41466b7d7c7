# snnssl_mm on CPUs, with mmcv's compiled operators:
#
#   docker build -t snnssl_mm .
#   docker run --rm -it -v "$PWD:/work" snnssl_mm demo
#
# Everything after the image's name are arguments of `snnssl`. /work is the working
# folder; its owner must be user 1000, or add `--user "$(id -u):$(id -g)"`. For data
# loaders with several workers add `--shm-size 2g`.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS build
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/snnssl_mm
ENV PATH=/opt/snnssl_mm/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY constraints.txt ./
RUN pip install --constraint constraints.txt \
    --extra-index-url https://download.pytorch.org/whl/cpu \
    torch torchvision setuptools wheel packaging ninja numpy
# A layer of its own: it takes minutes, and changes of the source do not repeat it.
COPY snnssl_mm/setup_mmcv.py ./
RUN python setup_mmcv.py --wheel-only --out /wheels
COPY . .
RUN pip install --constraint constraints.txt /wheels/*.whl . \
    && pip install --constraint constraints.txt --no-deps --force-reinstall \
    opencv-python-headless

FROM python:${PYTHON}-slim
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 snnssl \
    && install --directory --owner snnssl /work
COPY --from=build /opt/snnssl_mm /opt/snnssl_mm
ENV PATH=/opt/snnssl_mm/bin:$PATH
USER 1000
WORKDIR /work
RUN snnssl doctor
ENTRYPOINT ["snnssl"]
CMD ["--help"]
