"""Rows of parquet files. The home of pyarrow.

Law: rows come a few at a time, since each holds its pictures; a column that is not asked for is not
read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from qvq_mlx.core.errors import InputError
from qvq_mlx.evaluate.rows import Row

_ROWS_AT_A_TIME = 16


def rows(path: Path, *, pictures: bool) -> Iterator[Row]:
    """Yield the rows of a file as dicts; without columns that hold pictures unless `pictures`.

    Raises InputError where it is no parquet file.
    """
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            fields = file.schema_arrow
            names = [field.name for field in fields if pictures or not _holds_bytes(field)]
            for batch in file.iter_batches(_ROWS_AT_A_TIME, columns=names):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: cannot be read as parquet ({reason})") from error


def _holds_bytes(field: object) -> bool:
    """Tell whether a column holds pictures: bytes, alone, in a struct or in a list."""
    return "binary" in str(getattr(field, "type", ""))
