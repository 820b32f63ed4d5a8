"""TOML files for tests of the configuration, and what is told of broken ones."""

from pathlib import Path
from typing import Final

import pytest

from mountctl.config.load import load
from mountctl.errors import ConfigError

MOUNT: Final = '[mount.a]\nbucket = "bucket-a"\nmountpoint = "/mnt/a"\n'


def written(directory: Path, text: str) -> Path:
    """A file with this text."""
    path = directory / "m.toml"
    path.write_text(text)
    return path


def problems_told(path: Path) -> list[str]:
    """The problems of a broken file, without its path."""
    with pytest.raises(ConfigError) as caught:
        load(path)
    return [str(problem).removeprefix(f"{path}:") for problem in caught.value.problems]
