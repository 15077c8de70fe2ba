"""Whole files, and digests of arrays."""

import numpy as np
import pytest

from robustjax.files import digest_of, write_atomically


def test_writes_whole_files_and_leaves_nothing_behind(tmp_path):
    path = tmp_path / "note.txt"
    write_atomically(path, "é\n")
    assert path.read_bytes() == "é\n".encode()
    write_atomically(str(path), b"\x00\x01")
    assert path.read_bytes() == b"\x00\x01"
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "missing" / "note.txt", "text")
    with pytest.raises(TypeError):
        write_atomically(path, 3)
    assert path.read_bytes() == b"\x00\x01"
    assert [p.name for p in tmp_path.iterdir()] == ["note.txt"]


def test_digest_depends_on_content_alone():
    x = np.arange(12.0).reshape(4, 3)
    ids = np.array(["a", "b", "c", "d"])
    want = digest_of(x, ids)
    assert digest_of(np.asfortranarray(x), ids.copy()) == want
    assert digest_of(np.repeat(x, 2, axis=0)[::2], ids) == want
    others = [
        (x.reshape(3, 4), ids),
        (x.astype(np.float32), ids),
        (x + (x == 11), ids),
        (ids, x),
        (x, np.array(["a", "b", "c", "e"])),
    ]
    assert want not in {digest_of(*other) for other in others}
