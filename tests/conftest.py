"""What all tests share: skips for what this machine lacks, Triton's interpreter, transformers without a network."""

import os
import sys
from collections.abc import Iterator

import huggingface_hub.constants
import pytest
import torch
import transformers.dynamic_module_utils
import transformers.utils.logging

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when kernels are imported


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


@pytest.fixture(scope="session", autouse=True)
def offline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No hub, and remote code is cached in a directory that goes with the tests."""
    cache = str(tmp_path_factory.mktemp("transformers_modules"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transformers.dynamic_module_utils, "HF_MODULES_CACHE", cache)
        patch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        patch.setattr(sys, "path", [*sys.path])
        transformers.utils.logging.disable_progress_bar()
        yield
        transformers.utils.logging.enable_progress_bar()
