"""The process group: started through DeepSpeed, used for the loop's few numbers, ended without an abort."""

import gc
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import deepspeed
import torch
from deepspeed.ops import __compatible_ops__ as compatible_ops
from torch import Tensor

from hyena_ds.errors import InputError
from hyena_ds.parallel.environment import ProcessEnvironment, publish


def start(environment: ProcessEnvironment) -> torch.device:
    """Join the process group, NCCL on GPUs and gloo on CPUs; returns this rank's device.

    Raises InputError where this rank sees no GPU of its own.
    """
    logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
    # DeepSpeed still calls collectives by names that newer torch has replaced; users can do nothing about it.
    warnings.filterwarnings("ignore", message="`torch.distributed", category=FutureWarning)
    compatible_ops["deepspeed_shm_comm"] = False  # an inference operator that would be compiled at every first start
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        _check_gpu(environment, torch.cuda.device_count())
    publish(environment)
    device = torch.device("cuda", environment.local_rank) if on_gpu else torch.device("cpu")
    if on_gpu:
        torch.cuda.set_device(device)
        torch.backends.cudnn.allow_tf32 = False  # on by default: 10 bits where fp32 is asked for
    backend = "nccl" if on_gpu else "gloo"
    deepspeed.init_distributed(dist_backend=backend, auto_mpi_discovery=False, verbose=False)
    return device


def _check_gpu(environment: ProcessEnvironment, gpus: int) -> None:
    if environment.local_rank >= gpus:
        raise InputError(
            f"rank {environment.rank} has local rank {environment.local_rank} and sees {gpus} GPUs; start one rank a "
            "GPU and let each see all GPUs of its node (under SLURM --gpus-per-node, and srun --gpu-bind=none)"
        )


def _communication_device() -> torch.device:
    on_gpu = torch.distributed.get_backend() == "nccl"
    return torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")


def sum_over_ranks(values: Tensor) -> Tensor:
    """The sum of a tensor over all ranks, on the CPU."""
    if deepspeed.comm.get_world_size() == 1:
        return values.cpu()
    total = values.to(_communication_device(), copy=True)
    deepspeed.comm.all_reduce(total)
    return total.cpu()


def any_rank(flag: bool) -> bool:
    """Whether `flag` is set on any rank."""
    return bool(sum_over_ranks(torch.tensor(int(flag))))


def barrier() -> None:
    """Wait for all ranks."""
    sum_over_ranks(torch.zeros(1))


def from_main(value: Any) -> Any:
    """Rank 0's `value`, on every rank."""
    values = [value]
    torch.distributed.broadcast_object_list(values, src=0)
    return values[0]


@contextmanager
def process_group(environment: ProcessEnvironment) -> Iterator[torch.device]:
    """The process group, and this rank's device."""
    device = start(environment)
    try:
        yield device
    finally:
        leave()


def leave() -> None:
    """Leave the process group; with gloo an engine that outlives it aborts the process at exit."""
    gc.collect()
    if deepspeed.comm.is_initialized():
        deepspeed.comm.destroy_process_group()
