"""Where rows are from: digest of the file, seed of the config, no URL."""

import hashlib

import pytest
from mmengine.config import Config

from snnssl_mm.recording.provenance import provenance


@pytest.mark.parametrize(
    ("randomness", "seed"), [(dict(seed=3), 3), (dict(seed=None), 0), (None, 0)]
)
def test_rows_name_file_and_seed(tmp_path, randomness, seed):
    file = tmp_path / "a.pth"
    file.write_bytes(b"weights")
    row = provenance("c.py", str(file), Config(dict(randomness=randomness)))
    assert row["sha256"] == hashlib.sha256(b"weights").hexdigest()[:12]
    assert (row["config"], row["checkpoint"], row["seed"]) == ("c.py", str(file), seed)


def test_a_url_has_no_digest():
    with pytest.raises(ValueError, match="https://example.org/a.pth"):
        provenance("c.py", "https://example.org/a.pth", Config({}))
