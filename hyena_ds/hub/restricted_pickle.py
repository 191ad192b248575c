"""Reads what torch.save wrote without running anything it says.

A pickle is a program: its opcodes import names and call them. Here every name outside a short list becomes an inert
stub, tensors are rebuilt from the archive's own bytes, and sizes are believed only where the file holds them.
"""

import collections
import io
import math
import pickle
import pickletools
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor

from hyena_ds.errors import InputError

_STORAGE_TYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_ENCRYPTED = 0x1
# What zipfile and pickle raise on bytes that are not what they should be.
_ZIP_DAMAGE = (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError)
_PICKLE_DAMAGE = (pickle.UnpicklingError, EOFError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class _RefusedError(Exception):
    """What is wrong with the file, as the middle of a sentence."""


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies in the archive; `TorchArchive.read` brings it."""

    storage: str
    dtype: torch.dtype
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def bytes(self) -> int:
        return math.prod(self.size) * self.dtype.itemsize


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: torch.dtype
    elements: int


class Stub:
    """Stands for an object whose class was not imported; it takes whatever a pickle gives and does nothing."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        pass

    # BUILD on the class itself lands here with one argument missing, so a pickle cannot alter the class.
    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, item: Any) -> None:
        pass

    def extend(self, items: Any) -> None:
        pass

    def add(self, item: Any) -> None:
        pass


class _Rebuild:
    """A function that a pickle may call, wrapped so that the pickle cannot set its attributes."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise _RefusedError("it alters a function of torch")


def _whole(*numbers: Any) -> bool:
    return all(type(number) is int and number >= 0 for number in numbers)


def _rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> StoredTensor:
    """As torch._utils._rebuild_tensor_v2, with the tensor's extent checked against its storage."""
    shaped = isinstance(size, tuple) and isinstance(stride, tuple) and len(size) == len(stride)
    if not (isinstance(storage, _Storage) and shaped and _whole(offset, *size, *stride)):
        raise _RefusedError("it holds a malformed tensor")
    last = offset + sum((count - 1) * step for count, step in zip(size, stride, strict=True))
    elements = math.prod(size)
    # Steps of 0 would make a terabyte out of one number.
    if elements and (last >= storage.elements or elements > storage.elements):
        raise _RefusedError(
            f"a tensor {list(size)} does not fit storage {storage.key!r} of {storage.elements:,} numbers"
        )
    return StoredTensor(storage.key, storage.dtype, offset, size, stride)


def _rebuild_parameter(data: Any, *_: Any) -> Any:
    return data


_CALLABLES: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _Rebuild(_rebuild_tensor),
    ("torch._utils", "_rebuild_parameter"): _Rebuild(_rebuild_parameter),
}


class _RestrictedUnpickler(pickle.Unpickler):
    def __init__(self, archive: "TorchArchive", stream: io.BytesIO) -> None:
        super().__init__(stream)
        self._archive = archive
        self.stubbed: set[str] = set()

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _STORAGE_TYPES:
            return _STORAGE_TYPES[name]
        if (module, name) in _CALLABLES:
            return _CALLABLES[module, name]
        self.stubbed.add(f"{module}.{name}")
        return type(name, (Stub,), {})

    def persistent_load(self, pid: Any) -> _Storage:
        match pid:
            case ("storage", torch.dtype() as dtype, str(key), _, int(elements)):
                return self._archive.storage(key, dtype, elements)
        raise _RefusedError("it refers to something that is no tensor storage")


class TorchArchive:
    """An open `.ckpt` or `.pt` file in torch's zip format.

    `value` is what was saved, with every tensor a `StoredTensor` and every unknown object a `Stub`; `stubbed` names
    the classes and functions that were passed over. Raises InputError for a file that is something else.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._zip = self._open()
        try:
            self.value, self.stubbed = self._load()
        except BaseException:
            self._zip.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zip.close()

    def read(self, stored: StoredTensor) -> Tensor:
        """The tensor in its own dtype, contiguous, in memory of its own; InputError where its bytes are damaged."""
        if 0 in stored.size:
            return torch.empty(stored.size, dtype=stored.dtype)
        with self._refusals():
            content = self._member(f"data/{stored.storage}")
        flat = torch.frombuffer(bytearray(content), dtype=stored.dtype)
        return flat.as_strided(stored.size, stored.stride, stored.offset).clone(memory_format=torch.contiguous_format)

    def storage(self, key: str, dtype: torch.dtype, elements: int) -> _Storage:
        """The storage that a pickle claims to have; refused where its bytes are not in the file."""
        size = self._entry(f"data/{key}").file_size
        if elements * dtype.itemsize != size:
            raise _RefusedError(f"storage {key!r} claims {elements:,} numbers of {dtype} in {size:,} bytes")
        return _Storage(key, dtype, elements)

    def _open(self) -> zipfile.ZipFile:
        if not self._path.is_file():
            raise InputError(f"no checkpoint file at {self._path}")
        try:
            return zipfile.ZipFile(self._path)
        except _ZIP_DAMAGE:
            raise InputError(
                f"{self._path} is no torch checkpoint in zip format (damaged, or written before torch 1.6); "
                "download it again, or save it again with a newer torch"
            ) from None

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except _RefusedError as refusal:
            raise InputError(f"{self._path} cannot be read as a checkpoint: {refusal}") from None

    def _load(self) -> tuple[Any, tuple[str, ...]]:
        with self._refusals():
            self._root = self._find_root()
            self._check_sizes()
            program = self._member("data.pkl")
            unpickler = _RestrictedUnpickler(self, io.BytesIO(program))
            try:
                _check_program(program)
                return unpickler.load(), tuple(sorted(unpickler.stubbed))
            except _PICKLE_DAMAGE as error:
                raise _RefusedError(f"its pickle is malformed ({error}); download it again") from None

    def _find_root(self) -> str:
        roots = [name.removesuffix("data.pkl") for name in self._zip.namelist() if name.endswith("/data.pkl")]
        if len(roots) != 1:
            raise _RefusedError("it has no single data.pkl; torch.save writes one")
        return roots[0]

    def _check_sizes(self) -> None:
        """Members are stored plainly and do not overlap, so nothing read is larger than the file."""
        entries, size = self._zip.infolist(), self._path.stat().st_size
        if any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & _ENCRYPTED for entry in entries):
            raise _RefusedError("its members are compressed or encrypted; torch.save stores them plainly")
        if any(entry.header_offset < 0 for entry in entries) or sum(entry.file_size for entry in entries) > size:
            raise _RefusedError("its members claim more bytes than the file has; download it again")
        if f"{self._root}byteorder" in self._zip.namelist() and self._member("byteorder") != b"little":
            raise _RefusedError("it was written on a big-endian machine; save it again on another")

    def _entry(self, name: str) -> zipfile.ZipInfo:
        try:
            return self._zip.getinfo(self._root + name)
        except KeyError:
            raise _RefusedError(f"its member {name!r} is missing") from None

    def _member(self, name: str) -> bytes:
        try:
            return self._zip.read(self._entry(name))
        except _ZIP_DAMAGE as error:
            raise _RefusedError(f"it is damaged at {name} ({error}); download it again") from None


def _check_program(program: bytes) -> None:
    """Refuse lengths and memo numbers beyond the program itself: the unpickler allocates before it reads."""
    for opcode, argument, _ in pickletools.genops(program):
        if ("PUT" in opcode.name or opcode.name == "FRAME") and int(argument or 0) > len(program):
            raise _RefusedError("its pickle claims more than it holds; download it again")
