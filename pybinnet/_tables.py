"""Tables as CSV files, for the command line."""

# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import csv
import io
import math
import os
import sys
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pybinnet._files import replace

_NAMES_SHOWN = 10  # in a message


@dataclass(frozen=True)
class Table:
    """Columns of numbers, and maybe a target."""

    names: list[str]
    numbers: NDArray[np.float64]  # (n_rows, n_names)
    target: NDArray[Any] | None  # numbers or strings, (n_rows,)


def shown(path: str) -> str:
    """The name of a file in messages."""
    return "standard input" if path == "-" else path


def read_table(
    path: str,
    delimiter: str,
    *,
    names: Sequence[str] | None = None,
    target: str | None = None,
    text_target: bool = False,
    drop: Sequence[str] = (),
) -> Table:
    """Read columns of a CSV file whose first line has their names.

    `names` are the columns of numbers, by default all but `target` and those to `drop`. Raises a
    ValueError that says where the file is not as wanted. The path "-" is the standard input.
    """
    # utf-8-sig: spreadsheets put a byte order mark before the first name.
    standard_input = path == "-"
    with open(
        0 if standard_input else path,
        newline="",
        encoding="utf-8-sig",
        closefd=not standard_input,
    ) as file:
        reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True)
        try:
            wanted = [*(names or ()), *([] if target is None else [target]), *drop]
            header = _header(shown(path), reader, delimiter, wanted)
            droppable: Sequence[str] = ()
            if names is None:
                left_out = {"", target, *drop}  # a first column without name is an index of pandas
                names = droppable = [name for name in header if name.strip() not in left_out]
            numeric = names if target is None or text_target else [*names, target]
            text = target if text_target else None
            matrix, texts = _rows(shown(path), reader, delimiter, header, numeric, text, droppable)
        except UnicodeDecodeError as error:
            raise ValueError(f"{shown(path)} is no text in UTF-8 ({error}); convert it") from None
        except csv.Error as error:
            raise ValueError(f"{shown(path)}, line {reader.line_num}: {error}") from None
    if text_target:
        return Table(
            list(names), matrix, np.array(texts, dtype=object)
        )  # one long text would widen all
    if target is not None:
        return Table(list(names), matrix[:, :-1], matrix[:, -1])
    return Table(list(names), matrix, None)


def _rows(
    path: str,
    reader: Any,  # csv has no public name for its type
    delimiter: str,
    header: list[str],
    numeric: Sequence[str],
    text: str | None,
    droppable: Sequence[str],
) -> tuple[NDArray[np.float64], list[str]]:
    """The columns of numbers, and the one of text."""
    columns = [header.index(name) for name in numeric]
    text_column = None if text is None else header.index(text)
    numbers, texts, n_rows = array("d"), [], 0
    for cells in reader:
        if not cells:  # an empty line: no row, or one whose only cell is empty
            if len(header) > 1:
                continue
            cells = [""]
        if len(cells) != len(header):
            raise ValueError(
                f"{path}, line {reader.line_num} has {len(cells)} columns, and line 1 names "
                f"{len(header)}; give each row as many, divided by {delimiter!r}"
            )
        try:
            values = [float(cells[column]) for column in columns]
        except ValueError:
            values = [math.nan]
        # Python takes 1_0 for a number, tables do not.
        if not all(map(math.isfinite, values)) or any("_" in cells[c] for c in columns):
            wrong = _bad_cell(cells, header, columns, droppable)
            raise ValueError(f"{path}, line {reader.line_num}, {wrong}")
        numbers.extend(values)
        if text_column is not None:
            texts.append(cells[text_column])
            if not texts[-1].strip():
                raise ValueError(
                    f"{path}, line {reader.line_num}, column {text!r} is empty; fill it in, or "
                    "leave the row out"
                )
        n_rows += 1
    if not n_rows:
        raise ValueError(f"{path} has no rows below the names of its columns")
    return np.frombuffer(numbers, dtype=np.float64).reshape(n_rows, len(numeric)), texts


def _header(path: str, reader: Any, delimiter: str, wanted: list[str]) -> list[str]:
    """The first line, if it names columns, and those that are wanted."""
    header: list[str] = next(reader, [])
    if not header:
        raise ValueError(f"{path}, line 1 is empty; it must name the columns")
    for position, name in enumerate(header):
        if position > 0 and not name.strip():
            raise ValueError(
                f"{path}, line 1: column {position + 1} has no name; give it one (an index that "
                "another program wrote is best left out)"
            )
        if name in header[:position]:
            raise ValueError(f"{path}, line 1 names two columns {name!r}; rename one of them")
    missing = [name for name in wanted if name not in header]
    if missing:
        raise ValueError(
            f"{path} lacks the column {_listed(missing)}; its line 1, read with the delimiter "
            f"{delimiter!r}, names {_listed(header)}"
        )
    return header


def _listed(names: list[str]) -> str:
    more = len(names) - _NAMES_SHOWN
    return ", ".join(map(repr, names[:_NAMES_SHOWN])) + (f" and {more} more" if more > 0 else "")


def _bad_cell(
    cells: list[str], header: list[str], columns: list[int], droppable: Sequence[str]
) -> str:
    """Which cell of a row is no finite number, and what to do."""
    column = next(c for c in columns if not _is_finite(cells[c]))
    name, cell = header[column], cells[column]
    way_out = "leave the row out"
    if name in droppable:
        way_out += ", or the column by --drop"
    if not cell.strip():
        return f"column {name!r} is empty; fill it in, or {way_out}"
    return (
        f"column {name!r} has {cell!r}, which is no finite number; write numbers (of categories a "
        f"column of 0 and 1 for each), or {way_out}"
    )


def _is_finite(cell: str) -> bool:
    try:
        return "_" not in cell and math.isfinite(float(cell))
    except ValueError:
        return False


def write_table(
    path: str | None, delimiter: str, names: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """Write a CSV file as a whole, or to the standard output if `path` is None."""
    text = io.StringIO()
    file = sys.stdout if path is None else text
    writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    if path is not None:
        replace(Path(path), text.getvalue().encode())


def check_output(path: str, *inputs: str) -> None:
    """Raise an error now if a file could not be written in the end, or would replace an input."""
    folder = Path(os.path.realpath(path)).parent
    if not folder.is_dir():
        raise ValueError(f"{path} cannot be written: there is no folder {folder}")
    if Path(path).is_dir():
        raise ValueError(f"{path} cannot be written: it is a folder; name a file")
    if not os.access(folder, os.W_OK):
        raise ValueError(f"{path} cannot be written: the folder {folder} may not be written to")
    for other in inputs:
        if os.path.exists(path) and os.path.exists(other) and os.path.samefile(path, other):
            raise ValueError(f"{path} is what is to be read; name another file to write")
