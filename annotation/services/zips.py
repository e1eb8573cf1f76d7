"""What may be wrong with a .zip."""

from __future__ import annotations

import lzma
import zipfile
import zlib

# What reading one raises that is cut off, locked, damaged, or packed in a way that nobody here knows.
BROKEN = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError),
    *(NotImplementedError, RuntimeError, EOFError, OSError, ValueError),
)
