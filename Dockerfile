# docker build -t ass_tf .                            for CPUs
# docker build -t ass_tf --build-arg CUDA=1 .         with CUDA's libraries; run with --gpus all
# docker run --rm -v "$PWD:/work" ass_tf demo         data and runs are in the folder from which it is started
# --user "$(id -u):$(id -g)" makes what is written yours where your id is not 1000.

FROM python:3.12-slim AS build
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheel .

FROM python:3.12-slim
ARG CUDA=0
RUN --mount=type=bind,from=build,source=/wheel,target=/wheel \
    extras=report; \
    if [ "$CUDA" = 1 ]; then extras="report,cuda"; fi; \
    pip install --no-cache-dir "$(ls /wheel/*.whl)[$extras]"
# Whoever runs it may write there.
RUN useradd --uid 1000 --create-home user && mkdir /work && chmod 777 /work /home/user
ENV HOME=/home/user
USER 1000
WORKDIR /work
ENTRYPOINT ["ass-tf"]
CMD ["--help"]
