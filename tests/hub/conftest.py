"""Golden cases, and no network."""

import socket
from pathlib import Path
from typing import Any, NoReturn

import pytest
from safetensors.torch import load_file
from torch import Tensor

from hyena_ds.hub.export import export_huggingface
from hyena_ds.hub.import_weights import import_weights

GOLDEN = Path(__file__).parent.parent / "data/golden"
PLAIN, CHECKPOINTED = "d64_n2_l258", "d32_n3_l514_checkpointed"
CASES = (PLAIN, CHECKPOINTED)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any connection of a test in this folder is an error."""

    def refuse(*arguments: Any) -> NoReturn:
        raise AssertionError(f"a test of the hub reached for the network: {arguments[1:]}")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="session")
def golden() -> Path:
    """The directory of the golden cases."""
    return GOLDEN


@pytest.fixture(scope="session", params=[(case, shift) for case in CASES for shift in (0.05, 0.0)], ids=str)
def exported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Tensor], float]:
    """An export of each golden model at both filter shifts, what is expected of it, and the shift."""
    case, shift = request.param
    return (
        export_case(case, shift, tmp_path_factory.mktemp("hf")),
        load_file(GOLDEN / case / "expected.safetensors"),
        shift,
    )


@pytest.fixture(scope="session")
def plain_export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_case(PLAIN, 0.05, tmp_path_factory.mktemp("hf"))


def export_case(case: str, shift: float, directory: Path) -> Path:
    model = import_weights(GOLDEN / case / "original/weights.ckpt", filter_shift=shift)
    output = directory / f"{case}_{shift}"
    export_huggingface(model.parameters, model.tables, model.config, output)
    return output
