"""The appendix of a model or checkpoint file (libbinnet/FORMAT.md), which C ignores."""

# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import json
import struct
import zlib
from typing import Any


def append(file: bytes, values: dict[str, Any], blob: bytes = b"") -> bytes:
    """Return a model or checkpoint with an appendix."""
    text = json.dumps(values, separators=(",", ":")).encode()
    body = struct.pack("<I", len(text)) + text + blob
    body += bytes(-len(body) % 4)
    return _sealed(file, file[24:-4] + body)


def split(data: bytes, bare_size: int) -> tuple[dict[str, Any] | None, bytes]:
    """Return the values and the blob, with padding, of a file that is so long without appendix.

    The file must have been checked: all this relies on is its length.
    """
    body = bytes(data[bare_size - 4 : -4])
    if not body:
        return None, b""
    try:
        (n,) = struct.unpack_from("<I", body)
        values = json.loads(body[4 : 4 + n].decode()) if 4 + n <= len(body) else None
    except (struct.error, ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise ValueError("the file has an appendix that pybinnet did not write")
    return values, body[4 + n :]


def strip(data: bytes, bare_size: int) -> bytes:
    """Return a model or checkpoint without its appendix."""
    return data if len(data) == bare_size else _sealed(data, data[24 : bare_size - 4])


def _sealed(data: bytes, values: bytes) -> bytes:
    """The file that begins as another, with other values behind the length."""
    file = data[:16] + struct.pack("<Q", 24 + len(values) + 4) + values
    return file + struct.pack("<I", zlib.crc32(file))
