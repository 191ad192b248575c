"""The implicit filter by its kernels and by torch in tiles, on one GPU: `python benchmarks/implicit_filter.py`.

Both are held against float64 at some positions before they are timed.
"""

import argparse
import copy
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.convolution import measure, peak_bytes
from benchmarks.machine import describe_machine
from hyena_ds.model import filter as filter_module
from hyena_ds.model.config import ModelConfig
from hyena_ds.model.filter import HyenaFilter, PositionalFeatures

LENGTHS = [2**15, 2**18, 2**20]
CHANNELS, TILE, CHECKED = 256, 2**16, 4096


def make_filter(length: int, device: torch.device) -> HyenaFilter:
    """With weights as a trained model's."""
    torch.manual_seed(0)
    config = ModelConfig(d_model=CHANNELS, n_layer=1, l_max=length + 2)
    with device:
        made = HyenaFilter(config, PositionalFeatures(config.l_max, config.emb_dim))
    for name, parameter in made.implicit_filter.named_parameters():
        if "freq" not in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return made


def by_kernels(made: HyenaFilter, length: int) -> Tensor:
    return made(length, tile=TILE)[0][0]


def by_torch(made: HyenaFilter, length: int) -> Tensor:
    with patch.object(filter_module, "fused_kernels", return_value=None):
        return by_kernels(made, length)


METHODS: dict[str, Callable[[HyenaFilter, int], Tensor]] = {"kernels": by_kernels, "torch": by_torch}


def compare(length: int, device: torch.device) -> dict[str, Any]:
    made = make_filter(length, device)
    weights = list(made.implicit_filter.parameters())
    received = torch.randn(CHANNELS, length, device=device)
    position = torch.arange(0, length, max(1, length // CHECKED), device=device)
    z, t = made.pos_emb.z[:, position].double(), made.pos_emb.t[:, position].double()
    exact = copy.deepcopy(made).double()._values(z, t, slice(None))[0]
    row: dict[str, Any] = {"length": length}
    for name, method in METHODS.items():
        with torch.no_grad():
            error = (method(made, length)[:, position].double() - exact).norm() / exact.norm()
            row[f"{name}, error"] = float(error)
            row[f"{name}, forward, ms"] = measure(lambda method=method: method(made, length), device)

        def both(method: Callable[[HyenaFilter, int], Tensor] = method) -> list[Tensor]:
            return list(torch.autograd.grad(method(made, length), weights, received))

        row[f"{name}, forward+backward, ms"] = measure(both, device)
        row[f"{name}, forward+backward, MiB"] = peak_bytes(both, device) / 2**20
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS, help="positions")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results", help="where the JSON goes")
    parser.add_argument("--commit", help="commit of this tree, where it has no repository")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("no GPU here, where both ways are the same")
    rows = []
    for length in arguments.lengths:
        rows.append(compare(length, torch.device("cuda")))
        print({name: round(value, 8 if "error" in name else 2) for name, value in rows[-1].items()}, flush=True)
    result = {"rows": rows, "channels": CHANNELS, "machine": describe_machine(arguments.commit)}
    (arguments.output / "implicit_filter.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
