"""Runs the Triton kernels' tests on a CPU, by Triton's interpreter in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
FILES = [
    path
    for path in sorted(HERE.glob("test_*.py"))
    if path != Path(__file__) and "kernel_device" in path.read_text(encoding="utf-8")
]


@pytest.mark.skipif(torch.cuda.is_available(), reason="here the kernels run on the GPU")
def test_kernels_when_interpreted() -> None:
    pytest.importorskip("triton")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not gpu", *map(str, FILES)]
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    result = subprocess.run(
        command, cwd=HERE.parent.parent, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout
