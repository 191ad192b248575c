"""Checkpoint directories: complete or absent, checked by a manifest, portable, without pickle.

checkpoints/step-00000040/
    parameters-00001-of-00001.safetensors   fp32, and exp_avg-..., exp_avg_sq-..., average-...
    state.json                              step, Adam's step, and what the caller keeps
    config.yaml                             the resolved config of the run
    manifest.json                           name → SHA-256 and bytes; written last
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from hyena_ds.config.section import Section
from hyena_ds.errors import FULL_STORAGE, InputError, StorageError

MANIFEST_NAME, STATE_NAME, CONFIG_NAME = "manifest.json", "state.json", "config.yaml"
TENSOR_KINDS = ("parameters", "exp_avg", "exp_avg_sq", "average")
PREFIX, PARTIAL = "step-", ".partial-"
FILE_BYTES = 2 * 2**30


class CheckpointConfig(Section):
    """A checkpoint every `every_steps` steps and at the end; the newest `keep_last` stay."""

    every_steps: int = Field(default=1000, gt=0)
    keep_last: int = Field(default=3, gt=0)


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds: fp32 tensors by parameter name, and JSON values.

    `exp_avg` and `exp_avg_sq` are Adam's moments after `adam_step` updates, `average` is that of the parameters, where
    it is kept; all are empty before the first update. `progress` is the caller's: the cursor and its counters.
    """

    step: int
    parameters: dict[str, Tensor]
    config: str
    adam_step: int = 0
    exp_avg: dict[str, Tensor] = field(default_factory=dict)
    exp_avg_sq: dict[str, Tensor] = field(default_factory=dict)
    average: dict[str, Tensor] = field(default_factory=dict)
    progress: dict[str, Any] = field(default_factory=dict)


def write_checkpoint(directory: Path, checkpoint: Checkpoint) -> Path:
    """Write `step-...` under `directory` aside, sync it, then rename it into place.

    Raises StorageError where the storage fails; what stood in `directory` before is intact then.
    """
    final = directory / f"{PREFIX}{checkpoint.step:08d}"
    partial = directory / f"{PARTIAL}{checkpoint.step:08d}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for leftover in directory.glob(f"{PARTIAL}*"):
            shutil.rmtree(leftover)
        partial.mkdir()
        _write_contents(partial, checkpoint)
        if final.exists():
            shutil.rmtree(final)
        partial.rename(final)
        _sync(directory)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, OSError) and error.errno not in FULL_STORAGE:
            raise
        raise StorageError(
            f"checkpoint of step {checkpoint.step:,} could not be written to {directory}: {error}; "
            "earlier checkpoints are intact: free space and start the run again"
        ) from None
    return final


def _write_contents(partial: Path, checkpoint: Checkpoint) -> None:
    for kind in TENSOR_KINDS:
        parts = list(_split(getattr(checkpoint, kind)))
        for number, part in enumerate(parts, start=1):
            path = partial / f"{kind}-{number:05d}-of-{len(parts):05d}.safetensors"
            save_tensors(part, path)
    state = {"step": checkpoint.step, "adam_step": checkpoint.adam_step, "progress": checkpoint.progress}
    (partial / STATE_NAME).write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")
    (partial / CONFIG_NAME).write_text(checkpoint.config, encoding="utf-8")
    files = sorted(partial.iterdir())
    manifest = {path.name: {"sha256": _digest(path), "bytes": path.stat().st_size} for path in files}
    for path in files:
        _sync(path)
    (partial / MANIFEST_NAME).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    _sync(partial / MANIFEST_NAME)
    _sync(partial)


def save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """A safetensors file with the permissions of any other; the library's own are for its owner alone."""
    save_file(tensors, path, metadata={"format": "pt"})
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)


def _split(tensors: dict[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """Parts of at most FILE_BYTES, in order of name; a larger tensor is a part of its own."""
    part: dict[str, Tensor] = {}
    size = 0
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        if part and size + tensor.nbytes > FILE_BYTES:
            yield part
            part, size = {}, 0
        part[name] = tensor
        size += tensor.nbytes
    if part:
        yield part


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def find_flaw(path: Path) -> str | None:
    """Why the checkpoint at `path` cannot be used, or None where its manifest holds."""
    manifest_path = path / MANIFEST_NAME
    if not manifest_path.is_file():
        return "it has no manifest"
    try:
        manifest = json.loads(manifest_path.read_bytes())
        entries = [(name, entry["sha256"], entry["bytes"]) for name, entry in manifest.items()]
    except (ValueError, KeyError, TypeError, AttributeError):
        return "its manifest is damaged"
    listed = {name for name, _, _ in entries}
    expected = {STATE_NAME, CONFIG_NAME, *(file.name for file in path.glob("*.safetensors"))}
    if expected - listed or not any(name.startswith("parameters-") for name in listed):
        return "its manifest is damaged"
    for name, digest, size in entries:
        file = path / name
        if not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != size:
            return f"{name} has {file.stat().st_size:,} bytes instead of {size:,}"
        if _digest(file) != digest:
            return f"{name} does not match its checksum"
    return None


def list_checkpoints(directory: Path) -> list[Path]:
    """Checkpoint directories under `directory`, oldest first, good or not."""
    return sorted(path for path in directory.glob(f"{PREFIX}*") if path.is_dir())


def newest_checkpoint(directory: Path) -> tuple[Path | None, list[str]]:
    """The newest checkpoint that verifies, or None where there are none, and a line for each passed over.

    Raises InputError where checkpoints exist and none is good, so that no run starts over silently.
    """
    passed_over: list[str] = []
    for path in reversed(list_checkpoints(directory)):
        flaw = find_flaw(path)
        if flaw is None:
            return path, passed_over
        passed_over.append(f"checkpoint {path} is passed over: {flaw}")
    if passed_over:
        raise InputError(
            f"no checkpoint in {directory} is usable ({'; '.join(passed_over)}); "
            "restore one, or choose another run_directory to start over"
        )
    return None, passed_over


def read_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint at `path`; raises InputError where its manifest does not hold."""
    flaw = find_flaw(path)
    if flaw is not None:
        raise InputError(f"checkpoint {path} cannot be used: {flaw}; choose another one")
    tensors: dict[str, dict[str, Tensor]] = {kind: {} for kind in TENSOR_KINDS}
    for kind, found in tensors.items():
        for file in sorted(path.glob(f"{kind}-[0-9]*.safetensors")):
            found.update(load_file(file))
    state = json.loads((path / STATE_NAME).read_bytes())
    config = (path / CONFIG_NAME).read_text(encoding="utf-8")
    return Checkpoint(
        step=state["step"], adam_step=state["adam_step"], progress=state["progress"], config=config, **tensors
    )


def prune(directory: Path, keep_last: int) -> None:
    """Remove all but the newest `keep_last` checkpoints, and never the newest good one."""
    paths = list_checkpoints(directory)
    good = next((path for path in reversed(paths) if find_flaw(path) is None), None)
    for path in paths[:-keep_last]:
        if path != good:
            shutil.rmtree(path)
