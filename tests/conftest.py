"""Skips the tests that this machine has no device or cluster for; the closing line counts them."""

import pytest
import torch


def _lacking() -> dict[str, str]:
    """What is missing here, by marker."""
    gpus = torch.cuda.device_count()
    lacks = {
        "gpu": "no CUDA GPU" if gpus < 1 else "",
        "several_gpus": f"{gpus} CUDA GPUs, two are needed" if gpus < 2 else "",
    }
    return {marker: reason for marker, reason in lacks.items() if reason}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    lacking = _lacking()
    for item in items:
        for marker, reason in lacking.items():
            if item.get_closest_marker(marker) is not None:
                item.add_marker(pytest.mark.skip(reason=reason))
