import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyphenom.studies import Cell, Store
from pyphenom.studies.rows import measured_rows
from pyphenom.studies.store import fingerprint

KEY = "0" * 64
CELL = Cell("arm", {"width": 3, "rate": 0.1}, 7)


def rows_with(values, **columns):
    table = pd.DataFrame({"quantity": "risk", "value": values, **columns})
    return measured_rows("study", CELL, table)


@given(
    values=st.lists(st.floats(width=64), min_size=1, max_size=5),
    number=st.integers(-(2**63), 2**63 - 1),
    flag=st.booleans(),
    text=st.text(st.characters(codec="utf-8")),
)
def test_rows_come_back_bit_by_bit(tmp_path_factory, values, number, flag, text):
    store = Store(tmp_path_factory.mktemp("store"))
    rows = rows_with(values, number=number, flag=flag, text=text)
    store.put(KEY, rows)
    pd.testing.assert_frame_equal(store.get(KEY), rows, check_exact=True)
    # The frames above compare NaN as equal and zeros without their sign: the bits are compared here.
    got, given = store.get(KEY)["value"].to_numpy(), rows["value"].to_numpy()
    nan = np.isnan(given)
    assert (got[~nan].view(np.int64) == given[~nan].view(np.int64)).all()
    assert np.isnan(got[nan]).all()


def test_what_is_not_there_is_none(tmp_path):
    store = Store(tmp_path / "nowhere")
    assert store.get(KEY) is None
    assert (len(store), store.clean()) == (0, 0)


@pytest.mark.parametrize("damage", [lambda b: b[:-5], lambda b: b"", lambda b: b"\xff" + b, lambda b: b[:80] + b"9"])
def test_a_damaged_file_is_detected(tmp_path, damage):
    store = Store(tmp_path)
    store.put(KEY, rows_with([1.0, 2.0]))
    (path,) = tmp_path.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(RuntimeWarning, match="damaged"):
        assert store.get(KEY) is None
    store.put(KEY, rows_with([1.0, 2.0]))
    assert store.get(KEY)["value"].tolist() == [1.0, 2.0]


def test_every_flipped_bit_of_a_value_is_detected(tmp_path):
    store = Store(tmp_path)
    store.put(KEY, rows_with([1.25]))
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    place = content.index(b"1.25")
    for bit in range(32):
        flipped = bytearray(content)
        flipped[place + bit // 8] ^= 1 << bit % 8
        path.write_bytes(bytes(flipped))
        with pytest.warns(RuntimeWarning, match="damaged"):
            assert store.get(KEY) is None


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    store = Store(tmp_path)

    def full(descriptor):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        store.put(KEY, rows_with([1.0]))
    assert list(tmp_path.iterdir()) == []


def test_only_old_leftovers_are_cleaned(tmp_path):
    store = Store(tmp_path)
    store.put(KEY, rows_with([1.0]))
    young, old = tmp_path / f"{KEY}.young.tmp", tmp_path / f"{KEY}.old.tmp"
    for path in (young, old):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    assert store.clean() == 1
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".tmp"]
    assert young.exists()
    assert len(store) == 1


def test_many_writers_of_one_key_and_many_readers_agree(tmp_path):
    store, rows = Store(tmp_path), rows_with(np.arange(2000.0))

    def write_and_read(_):
        store.put(KEY, rows)
        return store.get(KEY)["value"].sum()

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(write_and_read, range(40))) == {1999.0 * 1000.0}
    assert len(list(tmp_path.iterdir())) == 1


WRITER = """
import os, sys, time
from pathlib import Path
import pandas as pd
from pyphenom.studies.store import Store

def block(self, target):
    print("ready", flush=True)
    time.sleep(60)

store = Store(Path(sys.argv[1]))
store.put("1" * 64, pd.DataFrame({"value": [1.0]}))
Path.replace = block
store.put("2" * 64, pd.DataFrame({"value": [2.0]}))
"""


def test_a_writer_killed_between_writing_and_renaming(tmp_path):
    with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"ready\n"
        writer.send_signal(signal.SIGKILL)
    store = Store(tmp_path)
    assert len(list(tmp_path.glob("*.tmp"))) == 1
    assert store.get("1" * 64)["value"].tolist() == [1.0]
    assert store.get("2" * 64) is None
    store.put("2" * 64, pd.DataFrame({"value": [2.0]}))
    assert store.get("2" * 64)["value"].tolist() == [2.0]
    assert len(store) == 2


def test_the_default_place(monkeypatch, tmp_path):
    monkeypatch.delenv("PYPHENOM_STORE", raising=False)
    assert str(Store.default().directory) == "pyphenom-results/cells"
    monkeypatch.setenv("PYPHENOM_STORE", str(tmp_path))
    assert Store.default().directory == tmp_path


def test_the_fingerprint_follows_the_files(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "a_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "kernel.so").write_bytes(b"1")
    (tmp_path / "a_module.py").write_text("x = 1")
    seen = {
        fingerprint(()),
        fingerprint(["a_package"]),
        fingerprint(["a_module"]),
        fingerprint(["a_package", "a_module"]),
    }
    (package / "kernel.so").write_bytes(b"2")
    (package / "notes.txt").write_text("not code")
    seen |= {fingerprint(["a_package"])}
    (tmp_path / "a_module.py").write_text("x = 2")
    seen |= {fingerprint(["a_module"])}
    assert len(seen) == 6
    (package / "notes.txt").write_text("still not code")
    assert fingerprint(["a_package"]) in seen
    for missing in ("no_such_module", "sys"):
        with pytest.raises(ModuleNotFoundError, match=missing):
            fingerprint([missing])
