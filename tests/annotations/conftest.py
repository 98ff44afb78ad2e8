"""What all tests of annotations do."""

import pytest

from ass_tf.annotations import __main__ as command


@pytest.fixture
def convert(tmp_path):
    """Converts tmp_path/source to tmp_path/set; returns the status. Nothing half-done may stay."""

    def run(*words, source="source"):
        status = command.main([str(word) for word in (tmp_path / source, "--out", tmp_path / "set", *words)])
        assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
        return status

    return run
