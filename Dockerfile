# The page in a container. CPU:   docker build -t fine-tuner .
#                         CUDA:  docker build -t fine-tuner --build-arg TORCH_INDEX=https://pypi.org/simple .
# Then: docker run --rm -p 7860:7860 -v "$PWD:/work" [--gpus all] fine-tuner   (open the owner's link that it prints)
FROM python:3.12-slim

# PyTorch's own index holds builds without CUDA; those of PyPI bring CUDA with them, the host needs its driver only.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

COPY . /source
RUN pip install --no-cache-dir --extra-index-url "$TORCH_INDEX" /source && install -d -m 0777 /work

WORKDIR /work
ENV HOME=/work
USER 1000
EXPOSE 7860
CMD ["fine-tuner", "page", "--host", "0.0.0.0", "--no-browser"]
