import io
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hyena_ds.errors import InputError
from hyena_ds.hub.restricted_pickle import StoredTensor, TorchArchive


class Storage:
    """Stands for a storage of `elements` floats under key 0."""

    def __init__(self, elements: int) -> None:
        self.elements = elements


class Rebuilt:
    """Pickles as a tensor of torch with any offset, size and stride."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __reduce__(self) -> Any:
        return torch._utils._rebuild_tensor_v2, (*self.arguments, False, OrderedDict())


class Runs:
    """Pickles as a call that a pickle of torch never makes."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


class Pickler(pickle.Pickler):
    def persistent_id(self, value: Any) -> Any:
        return ("storage", torch.FloatStorage, "0", "cpu", value.elements) if isinstance(value, Storage) else None


def pickled(value: Any) -> bytes:
    stream = io.BytesIO()
    Pickler(stream, protocol=2).dump(value)
    return stream.getvalue()


def archive_of(program: bytes, path: Path, compression: int = zipfile.ZIP_STORED) -> Path:
    """A file as torch.save lays it out, with one storage of 6 floats."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", program)
        archive.writestr("archive/data/0", torch.arange(6.0).numpy().tobytes())
    return path


def test_tensors_equal_those_of_torch(tmp_path: Path) -> None:
    base = torch.randn(4, 6)
    saved = {
        "whole": base,
        "transposed": base.T,
        "slice": base[1:3, ::2],
        "scalar": torch.tensor(3, dtype=torch.int64),
        "half": base.half(),
        "brain": base.bfloat16(),
        "truth": base > 0,
        "empty": torch.empty(0, 3),
        "parameter": torch.nn.Parameter(base),
    }
    torch.save({"state_dict": saved, "epoch": 3}, tmp_path / "weights.ckpt")
    with TorchArchive(tmp_path / "weights.ckpt") as archive:
        assert archive.value["epoch"] == 3
        assert archive.stubbed == ()
        for name, tensor in saved.items():
            read = archive.read(archive.value["state_dict"][name])
            assert read.dtype == tensor.dtype
            assert read.shape == tensor.shape
            assert torch.equal(read, tensor.detach())


def test_omegaconf_objects_are_passed_over(golden: Path) -> None:
    with TorchArchive(golden / "d32_n3_l514_checkpointed/original/weights_omegaconf.ckpt") as archive:
        assert "omegaconf.dictconfig.DictConfig" in archive.stubbed
        assert archive.value["epoch"] == 3
        assert all(isinstance(stored, StoredTensor) for stored in archive.value["state_dict"].values())


@pytest.mark.parametrize("function", [os.system, eval, exec], ids=lambda function: function.__name__)
def test_code_in_a_pickle_does_not_run(function: Any, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    command = f"touch {mark}" if function is os.system else f"open({str(mark)!r}, 'w')"
    path = archive_of(pickled({"state_dict": {}, "attack": Runs(function, command)}), tmp_path / "weights.ckpt")
    with TorchArchive(path) as archive:
        assert f"{function.__module__}.{function.__name__}" in [
            name.replace("__builtin__", "builtins") for name in archive.stubbed
        ]
    assert not mark.exists()


@pytest.mark.parametrize(
    ("elements", "offset", "size", "stride"),
    [
        (2**40, 0, (2**40,), (1,)),
        (6, 0, (2**40,), (0,)),
        (6, 0, (7,), (1,)),
        (6, 4, (3,), (1,)),
        (6, 0, (2, 2), (5, 1)),
        (6, -1, (2,), (1,)),
        (6, 0, (2,), (-1,)),
        (6, 0, (2, 3), (1,)),
        (6, 0, (1.5,), (1,)),
    ],
)
def test_sizes_beyond_the_file_are_refused(elements: int, offset: int, size: Any, stride: Any, tmp_path: Path) -> None:
    program = pickled({"state_dict": {"weight": Rebuilt(Storage(elements), offset, size, stride)}})
    with pytest.raises(InputError, match=r"weights.ckpt cannot be read as a checkpoint"):
        TorchArchive(archive_of(program, tmp_path / "weights.ckpt"))


def test_the_same_tensor_with_true_sizes_is_read(tmp_path: Path) -> None:
    program = pickled({"weight": Rebuilt(Storage(6), 1, (2, 2), (3, 1))})
    with TorchArchive(archive_of(program, tmp_path / "weights.ckpt")) as archive:
        assert archive.read(archive.value["weight"]).tolist() == [[1.0, 2.0], [4.0, 5.0]]


@pytest.mark.parametrize(
    "program",
    [
        b"\x80\x02}r\xff\xff\xff\x7f.",  # LONG_BINPUT of memo number 2^31 - 1
        b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x0fA.",  # BINUNICODE8 of 2^60 bytes
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}X\x01\x00\x00\x00aK\x01sb.",  # BUILD on a function
        b"\x80\x02cos\nsystem\n}X\x01\x00\x00\x00aK\x01sb.",  # BUILD on a stub class
        b"\x80\x02(X\x01\x00\x00\x00atQ.",  # a persistent id that is no storage
        b"\x80\x02]a.",
        b"",
    ],
)
def test_malformed_programs_are_refused(program: bytes, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"weights.ckpt"):
        TorchArchive(archive_of(program, tmp_path / "weights.ckpt"))


def test_flipped_bits_end_in_a_value_or_an_input_error(tmp_path: Path) -> None:
    program = bytearray(pickled({"state_dict": {"weight": Rebuilt(Storage(6), 0, (2, 3), (3, 1))}, "epoch": 3}))
    draw = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        flipped = bytearray(program)
        flipped[draw.integers(len(program))] ^= 1 << int(draw.integers(8))
        try:
            TorchArchive(archive_of(bytes(flipped), tmp_path / "weights.ckpt")).__exit__(None, None, None)
        except InputError:
            refused += 1
    assert refused > 100


def test_compressed_members_are_refused(tmp_path: Path) -> None:
    path = archive_of(pickled({"padding": "a" * 1000}), tmp_path / "weights.ckpt", zipfile.ZIP_DEFLATED)
    with pytest.raises(InputError, match="compressed"):
        TorchArchive(path)


def test_a_damaged_tensor_is_refused_when_read(tmp_path: Path) -> None:
    path = archive_of(pickled({"weight": Rebuilt(Storage(6), 0, (6,), (1,))}), tmp_path / "weights.ckpt")
    content = path.read_bytes()
    needle = torch.arange(6.0).numpy().tobytes()
    path.write_bytes(content.replace(needle, bytes([needle[0] ^ 1]) + needle[1:]))
    with TorchArchive(path) as archive, pytest.raises(InputError, match="damaged at data/0"):
        archive.read(archive.value["weight"])


@pytest.mark.parametrize("content", [b"", b"no zip file", pickle.dumps({"state_dict": {}})])
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "weights.ckpt"
    path.write_bytes(content)
    with pytest.raises(InputError, match="no torch checkpoint in zip format"):
        TorchArchive(path)


def test_the_legacy_format_is_refused_with_a_remedy(tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(InputError, match="save it again with a newer torch"):
        TorchArchive(tmp_path / "old.pt")


def test_a_truncated_file_is_refused(golden: Path, tmp_path: Path) -> None:
    whole = (golden / "d32_n3_l514_checkpointed/original/weights.ckpt").read_bytes()
    path = tmp_path / "weights.ckpt"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="damaged"):
        TorchArchive(path)
