"""The systemd generator: which units it makes of which files, and that nothing makes it fail."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "systemd" / "generator.py"


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generator", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "mountpoint-s3.toml"


def made(config: Path, fstab: str = "") -> tuple[dict[str, str], str]:
    """The units by their names, and what was said, of a run as systemd's."""
    units = config.with_name("units")
    units.mkdir()
    (config.parent / "fstab").write_text(fstab)
    arguments = [units, units, units, config, config.parent / "fstab"]
    done = subprocess.run([sys.executable, "-IS", SCRIPT, *arguments], capture_output=True, text=True)
    assert done.returncode == 0
    return {unit.name: unit.read_text() for unit in units.iterdir()}, done.stderr


def test_a_mount_has_a_unit_that_waits_for_the_supervisor(config: Path) -> None:
    config.write_text('[mount.data]\nbucket = "b"\nmountpoint = "/mnt//data/./"\n')
    units, said = made(config)
    assert list(units) == ["mnt-data.mount"]
    lines = units["mnt-data.mount"].splitlines()
    assert {"Where=/mnt/data", "Type=mountctl", "Options=declared=data,_netdev", "Wants=mountctl.service"} <= {*lines}
    # With these, a restart of the service would unmount; with local-fs.target before it, the boot would be a circle.
    assert not any(line.startswith(("Requires=", "BindsTo=", "PartOf=")) for line in lines)
    assert "DefaultDependencies=no" in lines
    assert said == ""


def test_units_are_without_fault_for_systemd(config: Path, generator: ModuleType) -> None:
    unit = config.with_name(generator.unit_name("/mnt/my data"))
    unit.write_text(generator.UNIT.format(name="x", where="/mnt/my data", config=config))
    verify = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit]
    assert subprocess.run(verify, capture_output=True, text=True).stderr == ""


def test_drop_ins_count_in_the_order_of_their_names(config: Path) -> None:
    config.write_text('mount.data.mountpoint = "/mnt/a"\nmount.other.mountpoint = "/mnt/o"\n')
    drop_ins = config.with_suffix(".d")
    drop_ins.mkdir()
    (drop_ins / "2.toml").write_text('mount.data.mountpoint = "/mnt/c"\n')
    (drop_ins / "1.toml").write_text('mount.data.mountpoint = "/mnt/b"\n')
    (drop_ins / ".3.toml").write_text('mount.data.mountpoint = "/mnt/d"\n')
    assert sorted(made(config)[0]) == ["mnt-c.mount", "mnt-o.mount"]


@pytest.mark.parametrize("path", ["/mnt/my-data", "/", "/.hidden/x", "/a b/c\\d", "/ümlaut/%i", "/mnt/x@y:z_0"])
def test_names_of_units_are_those_of_systemd_escape(generator: ModuleType, path: str) -> None:
    told = subprocess.run(["systemd-escape", "--path", "--suffix=mount", path], capture_output=True, text=True)
    assert generator.unit_name(path) == told.stdout.strip()


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "mount = 1",
        "mount.data = 1",
        "mount.data.mountpoint = 1",
        'mount.data.mountpoint = "relative"',
        'mount.data.mountpoint = "${env:HOME}/x"',
        'mount.data.mountpoint = "/a\\nb"',
        'mount.data.mountpoint = "/"',
        'mount.data.mountpoint = "//./"',
        'mount.data.mountpoint = "/mnt/../x"',
        'mount."a,b".mountpoint = "/mnt/x"',
        f'mount.data.mountpoint = "/{"x" * 300}"',
        "a = " + "[" * 100_000,
    ],
)
def test_what_can_have_no_unit_is_said_or_passed_by(config: Path, text: str) -> None:
    config.write_text(text)
    assert made(config)[0] == {}


def test_no_file_is_no_unit_and_no_word(config: Path) -> None:
    assert made(config) == ({}, "")


def test_bytes_that_are_no_text_cost_no_boot(config: Path) -> None:
    config.write_bytes(b"\xff\xfe\x00mount")
    units, said = made(config)
    assert units == {}
    assert str(config) in said


@pytest.mark.parametrize("written", ["/mnt/my\\040data", "/mnt//my\\040data/", "/mnt/./my\\040data"])
def test_a_mountpoint_of_fstab_is_left_to_its_own_generator(config: Path, written: str) -> None:
    config.write_text('mount.data.mountpoint = "/mnt/my data"\n')
    units, said = made(config, f"# a comment\ns3://b/ {written} mountctl defaults 0 0\n")
    assert units == {}
    assert "fstab" in said


def test_it_imports_next_to_nothing() -> None:
    text = SCRIPT.read_text()
    imports = {line.split()[1] for line in text.splitlines() if line.startswith(("import ", "from "))}
    assert imports == {"sys", "tomllib", "collections.abc", "pathlib"}
