"""The device of the Triton kernels' tests: a GPU, or the CPU where Triton interprets (`test_interpreter.py`)."""

import os

import pytest
import torch

INTERPRETING = os.environ.get("TRITON_INTERPRET") == "1"


@pytest.fixture
def kernel_device() -> torch.device:
    """Where kernels run."""
    return torch.device("cpu" if INTERPRETING else "cuda")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if INTERPRETING or torch.cuda.is_available():
        return
    kept, dropped = [], []
    for item in items:
        (dropped if "kernel_device" in getattr(item, "fixturenames", ()) else kept).append(item)
    items[:] = kept
    config.hook.pytest_deselected(items=dropped)
