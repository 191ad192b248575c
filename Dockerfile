# hyena_ds and the versions that its tests pass with.
#   docker build -t hyena_ds .
#   docker run --gpus all --shm-size 8g -v "$PWD/data:/hyena_ds/data" -v "$PWD/runs:/hyena_ds/runs" -it hyena_ds
FROM python:3.11-slim-bookworm

# Triton compiles its launchers with gcc when a kernel is first used.
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev make && rm -rf /var/lib/apt/lists/*

WORKDIR /hyena_ds
COPY . .
RUN pip install --no-cache-dir --constraint constraints.txt --editable ".[mpi,vcf]"

CMD ["bash"]
