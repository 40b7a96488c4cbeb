"""Files that appear whole or not at all."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4


def write(path: Path, content: str | bytes) -> None:
    """Write a file; whoever reads it, and whenever this process is stopped, sees the old content or the new one.

    Parameters
    ----------
    path : Path
        Its folder is made if it does not exist.
    content : str or bytes
        Text is written as UTF-8.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    try:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
