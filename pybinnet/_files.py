"""Files that are replaced as a whole."""

# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import os
import threading
from pathlib import Path


def replace(path: Path, content: bytes) -> None:
    """Write a file beside it and put it in its place, which other programs see as one step.

    Whatever happens meanwhile, the file is the old one or the new one. A process that is killed can
    leave the file beside it, ``.name.*.tmp``, which nobody needs.

    Of a link, the file that it leads to is replaced. What is no file, such as a pipe or
    ``/dev/null``, is not replaced but written to.
    """
    target = Path(os.path.realpath(path))
    beside = target.with_name(f".{target.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(content)
            return
        try:
            with beside.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())  # else a power failure can leave the name without content
            os.replace(beside, target)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:  # of the file that was asked for
        raise OSError(error.errno, error.strerror, str(path)) from None
