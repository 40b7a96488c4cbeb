"""Rows of finished cells on disk: written at once or not at all, verified when read."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import time
import warnings
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pandas as pd

from .cell import Cell

# No writer needs an hour for one file, on any file system; what is older was left by one that was killed.
_ABANDONED_AFTER = 3600.0


@dataclass(frozen=True)
class Store:
    """A directory with one file per finished cell, which several processes may share.

    A file is a line with the SHA-256 of the rest, then JSON with the columns of the rows. Python writes the shortest
    text that reads back as the same float64, and its JSON keeps infinities and NaN.

    Parameters
    ----------
    directory : path
        Made when the first cell is stored.
    """

    directory: Path

    @classmethod
    def default(cls) -> Store:
        """Return the store in ``$PYPHENOM_STORE``, or else in ``pyphenom-results/cells`` of the current directory."""
        return cls(Path(os.environ.get("PYPHENOM_STORE") or "pyphenom-results/cells"))

    def get(self, key: str) -> pd.DataFrame | None:
        """Return the rows under a key; None if there are none, or with a warning if the file is damaged."""
        path = self._path(key)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        checksum, _, body = content.partition(b"\n")
        if checksum.decode("ascii", "replace") != hashlib.sha256(body).hexdigest():
            warnings.warn(f"{path} is damaged; its cell is measured again", RuntimeWarning, stacklevel=2)
            return None
        columns = json.loads(body)
        return pd.DataFrame({name: pd.Series(data, dtype=dtype) for name, (dtype, data) in columns.items()})

    def put(self, key: str, rows: pd.DataFrame) -> None:
        """Store rows under a key; a reader sees the whole file or none, whenever this process is killed.

        Nothing is written if the very same rows are there already.
        """
        columns = {str(name): (str(column.dtype), column.tolist()) for name, column in rows.items()}
        body = json.dumps(columns, separators=(",", ":")).encode()
        content = hashlib.sha256(body).hexdigest().encode() + b"\n" + body
        with suppress(FileNotFoundError):
            if self._path(key).read_bytes() == content:
                return
        self.directory.mkdir(parents=True, exist_ok=True)
        temporary = self.directory / f"{key}.{uuid4().hex}.tmp"
        try:
            with temporary.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path(key))
        finally:
            temporary.unlink(missing_ok=True)
        # The new name is durable only once the directory is.
        descriptor = os.open(self.directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def clean(self) -> int:
        """Remove what killed writers left behind, and return the number of files removed."""
        removed = 0
        for path in self.directory.glob("*.tmp"):
            try:
                if time.time() - path.stat().st_mtime > _ABANDONED_AFTER:
                    path.unlink()
                    removed += 1
            except FileNotFoundError:  # another process cleans, or its writer has just finished
                continue
        return removed

    def __contains__(self, key: str) -> bool:
        return self._path(key).exists()

    def __len__(self) -> int:
        return sum(1 for _ in self.directory.glob("*.json"))

    def _path(self, key: str) -> Path:
        return self.directory / f"{key}.json"


def key(study: str, cell_version: str, fingerprint: str, cell: Cell, root_seed: int) -> str:
    """Return the name under which a cell is stored: the same key, the same rows.

    Parameters
    ----------
    study, cell_version : str
        Of the study.
    fingerprint : str
        Of the code it depends on.
    cell : Cell
        Arm, parameters and replicate.
    root_seed : int
        Of the run.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    identity = json.dumps([study, cell_version, fingerprint, cell.canonical(), root_seed])
    return hashlib.sha256(identity.encode()).hexdigest()


def fingerprint(modules: Iterable[str]) -> str:
    """Return a hash of the files of modules; of a package, all its sources and binaries.

    Parameters
    ----------
    modules : iterable of str
        Importable names.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    ModuleNotFoundError
        If a module cannot be found, or has no file.

    Examples
    --------
    >>> fingerprint(["json", "bisect"]) == fingerprint(["bisect", "json"])
    True
    >>> fingerprint(["json"]) == fingerprint(["bisect"])
    False
    """
    digest = hashlib.sha256()
    for name in sorted(set(modules)):
        digest.update(f"{name}\n".encode())
        for path in _files(name):
            digest.update(f"{path.name}\n".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _files(module: str) -> list[Path]:
    spec = importlib.util.find_spec(module)
    if spec is None:
        raise ModuleNotFoundError(f"depends_on: no module is named {module!r}", name=module)
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    if folders:
        files = [path for folder in folders for path in folder.rglob("*") if path.suffix in {".py", ".so", ".pyd"}]
        return sorted(files)
    if spec.origin is None or not Path(spec.origin).is_file():
        raise ModuleNotFoundError(f"depends_on: {module!r} has no file to take a fingerprint of", name=module)
    return [Path(spec.origin)]
