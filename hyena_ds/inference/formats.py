"""Tables as NumPy arrays, pandas frames and files: Parquet, HDF5, JSON lines."""

import json
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hyena_ds.errors import InputError

Arrays = np.ndarray | list[np.ndarray]


def arrays_of(column: pa.ChunkedArray) -> Arrays:
    """The values of a column: [rows] or [rows, D] in one array, lists of values as one array a row."""
    if not pa.types.is_list(column.type):
        parts = [_dense(chunk) for chunk in column.chunks]
        return np.concatenate(parts) if parts else np.empty(0)
    return [values for chunk in column.chunks for values in _by_row(chunk)]


def frame_of(table: pa.Table) -> pd.DataFrame:
    """A frame with the table's columns, its vectors and lists as one NumPy array a row."""
    columns: dict[str, Any] = {}
    for name in table.column_names:
        values = arrays_of(table[name])
        columns[name] = values if isinstance(values, np.ndarray) and values.ndim == 1 else list(values)
    return pd.DataFrame(columns)


def _dense(array: pa.Array) -> np.ndarray:
    if pa.types.is_fixed_size_list(array.type):
        flat: np.ndarray = array.flatten().to_numpy(zero_copy_only=False)
        return flat.reshape(-1, array.type.list_size)
    values: np.ndarray = array.to_numpy(zero_copy_only=False)
    return values


def _by_row(array: pa.ListArray) -> Iterator[np.ndarray]:
    values = _dense(array.flatten()).copy()  # Arrow's memory is read-only
    ends = np.cumsum(array.value_lengths().to_numpy(zero_copy_only=False))
    return iter(np.split(values, ends[:-1]))


def writer_for(path: Path) -> Callable[[Iterable[pa.Table], pa.Schema, Path], None]:
    """What writes tables to a file of the suffix of `path`; raises InputError for a suffix that is not known."""
    match path.suffix:
        case ".parquet":
            return write_parquet
        case ".h5" | ".hdf5":
            return write_hdf5
        case ".jsonl":
            return write_json_lines
    raise InputError(f"output {path} must end in .parquet, .h5 or .jsonl, which says its format")


def write_parquet(tables: Iterable[pa.Table], schema: pa.Schema, path: Path) -> None:
    """A row group a table; floats are hardly ever the same, so that a dictionary of them costs time and space."""
    repeated = [field.name for field in schema if pa.types.is_string(field.type)]
    with pq.ParquetWriter(path, schema, use_dictionary=repeated) as writer:
        for table in tables:
            writer.write_table(table)


def write_json_lines(tables: Iterable[pa.Table], schema: pa.Schema, path: Path) -> None:
    """One object a line; what is not known (NaN) is null."""
    with path.open("w", encoding="utf-8") as file:
        for table in tables:
            for row in table.to_pylist():
                file.write(json.dumps({name: _plain(value) for name, value in row.items()}) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def write_hdf5(tables: Iterable[pa.Table], schema: pa.Schema, path: Path) -> None:
    """A dataset a column; a column of lists is one dataset of all values, and `<column>_ends` says where each ends."""
    with h5py.File(path, "w") as file:
        for field in schema:
            _create(file, field.name, field.type)
        for table in tables:
            for name in table.column_names:
                _append(file, name, table[name])


def _create(file: h5py.File, name: str, kind: pa.DataType) -> None:
    if pa.types.is_list(kind):
        file.create_dataset(f"{name}_ends", (0,), np.int64, maxshape=(None,), chunks=True)
        kind = kind.value_type
    shape: tuple[int, ...] = ()
    if pa.types.is_fixed_size_list(kind):
        shape, kind = (kind.list_size,), kind.value_type
    dtype = h5py.string_dtype() if pa.types.is_string(kind) else kind.to_pandas_dtype()
    file.create_dataset(name, (0, *shape), dtype, maxshape=(None, *shape), chunks=True)


def _append(file: h5py.File, name: str, column: pa.ChunkedArray) -> None:
    values = arrays_of(column)
    if isinstance(values, list):
        before = len(file[name])
        _extend(file[f"{name}_ends"], before + np.cumsum([len(value) for value in values]))
        values = np.concatenate(values)
    _extend(file[name], values)


def _extend(dataset: h5py.Dataset, values: np.ndarray) -> None:
    before = len(dataset)
    dataset.resize(before + len(values), axis=0)
    dataset[before:] = values
