"""What a result was measured on: processor or card, versions, commit."""

import platform
import subprocess
from pathlib import Path

import torch


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def _commit() -> str:
    """The commit of the tree, `-dirty` where it has changes, `unknown` outside a repository."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    root = Path(__file__).resolve().parent
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    return result.stdout.strip() or "unknown"


def describe_machine(commit: str | None = None) -> dict[str, str]:
    """Card or processor, versions and commit, as every result file carries them.

    `commit` names the tree where it was copied without its repository.
    """
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else _processor()
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    return {"device": device, **versions, "commit": commit or _commit()}
