# snnssl_mm on NVIDIA GPUs, with fused kernels and mmcv's CUDA operators:
#
#   docker build -t snnssl_mm:cuda -f docker/cuda.Dockerfile .
#   docker run --rm -it --gpus all -v "$PWD:/work" snnssl_mm:cuda demo
#
# The host needs a driver for CUDA 13 and the NVIDIA Container Toolkit. For other GPUs
# than the listed ones: --build-arg ARCHITECTURES="12.0".
ARG CUDA=13.0.1

FROM nvidia/cuda:${CUDA}-devel-ubuntu24.04
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
    g++ libgomp1 python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/snnssl_mm
ENV PATH=/opt/snnssl_mm/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY constraints.txt ./
RUN pip install --constraint constraints.txt \
    --extra-index-url https://download.pytorch.org/whl/cu130 \
    torch torchvision setuptools wheel packaging ninja numpy
# A layer of its own: it takes minutes, and changes of the source do not repeat it.
ARG ARCHITECTURES="8.0;8.6;8.9;9.0"
COPY snnssl_mm/setup_mmcv.py ./
RUN FORCE_CUDA=1 TORCH_CUDA_ARCH_LIST="${ARCHITECTURES}" \
    python setup_mmcv.py --wheel-only --out /wheels
COPY . .
RUN pip install --constraint constraints.txt /wheels/*.whl ".[cupy13]" \
    && pip install --constraint constraints.txt --no-deps --force-reinstall \
    opencv-python-headless \
    && userdel --remove ubuntu \
    && useradd --create-home --uid 1000 snnssl \
    && install --directory --owner snnssl /work
USER 1000
WORKDIR /work
ENTRYPOINT ["snnssl"]
CMD ["--help"]
