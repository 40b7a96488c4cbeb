import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pyphenom.report.files import write


def test_text_and_bytes_are_written_and_replaced(tmp_path):
    path = tmp_path / "a" / "b" / "file"
    write(path, "α\n")
    assert path.read_bytes() == b"\xce\xb1\n"
    write(path, b"\x00")
    assert path.read_bytes() == b"\x00"
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_content_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write(path, "old")

    def full(self, content):
        self.touch()
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="no space"):
        write(path, "new")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert path.read_text() == "old"


WRITER = """
import sys, time
from pathlib import Path
from pyphenom.report.files import write

def stop(self, target):
    print("ready", flush=True)
    time.sleep(60)

Path.replace = stop
write(Path(sys.argv[1]), "new")
"""


def test_a_writer_that_is_killed_leaves_the_old_content(tmp_path):
    path = tmp_path / "file"
    write(path, "old")
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"ready\n"
        os.kill(writer.pid, signal.SIGKILL)
    assert path.read_text() == "old"
