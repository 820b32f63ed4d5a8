"""Templates: options under a name, which mounts use. Whose value counts, and what is told where."""

from pathlib import Path

import pytest

from mountctl.config.load import load
from tests.unit.toml_files import MOUNT, problems_told, written

FAST = '[template.fast]\nmetadata-ttl = 60\nregion = "eu-west-1"\n'


def test_a_mount_has_its_own_value_else_the_templates_else_the_default(tmp_path: Path) -> None:
    text = '[defaults]\nregion = "us-east-1"\nuid = 7\n' + FAST + MOUNT + 'use = "fast"\nmetadata-ttl = 5\n'
    mount = load(written(tmp_path, text)).mounts["a"]
    assert (mount.metadata_ttl, mount.region, mount.uid) == (5, "eu-west-1", 7)


def test_of_two_templates_the_last_one_wins(tmp_path: Path) -> None:
    other = '[template.far]\nregion = "ap-southeast-2"\nread-only = true\n'
    mount = load(written(tmp_path, other + FAST + MOUNT + 'use = ["fast", "far"]\n')).mounts["a"]
    assert (mount.metadata_ttl, mount.region, mount.read_only) == (60, "ap-southeast-2", True)


def test_a_mount_that_names_no_template_has_nothing_of_one(tmp_path: Path) -> None:
    assert load(written(tmp_path, FAST + MOUNT)).mounts["a"].region is None


def test_a_bucket_may_come_from_a_template(tmp_path: Path) -> None:
    text = '[template.data]\nbucket = "shared"\n[mount.a]\nuse = "data"\nmountpoint = "/mnt/a"\n'
    assert load(written(tmp_path, text)).mounts["a"].bucket == "shared"


def test_a_drop_in_changes_a_template_for_all_that_use_it(tmp_path: Path) -> None:
    path = written(tmp_path, FAST + MOUNT + 'use = "fast"\n')
    (tmp_path / "m.d").mkdir()
    (tmp_path / "m.d" / "1.toml").write_text("[template.fast]\nmetadata-ttl = 1\n")
    assert load(path).mounts["a"].metadata_ttl == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (FAST + MOUNT + 'use = "fats"\n', ['7:1: mount.a.use: no template "fats": did you mean fast?']),
        (MOUNT + 'use = "x"\n', ['4:1: mount.a.use: no template "x": write [template.x]']),
        (MOUNT + "use = 5\n", ["4:1: mount.a.use: must be a template's name, or an array of them, not the integer 5"]),
        (
            FAST + MOUNT + 'use = ["fast", true]\n',
            ["7:1: mount.a.use: must be a template's name, or an array of them, not the boolean true"],
        ),
        (
            '[defaults]\nuse = "fast"\n',
            ["2:1: defaults.use: not here: a mount names its templates itself, in its [mount.NAME] table"],
        ),
        (
            '[template.x]\nuse = "fast"\n',
            ["2:1: template.x.use: not here: a mount names its templates itself, in its [mount.NAME] table"],
        ),
        (
            '[template.x]\nmountpoint = "/x"\n',
            [
                "2:1: template.x.mountpoint: not a default: every mount has its own, in its [mount.NAME] table",
            ],
        ),
        (
            "[template.x]\nregoin = 1\n",
            ["2:1: template.x.regoin: unknown key: did you mean region?"],
        ),
        (
            "[template]\nregion = 1\n",
            ["2:1: template.region: must be a table, not the integer 1: options go below [template.NAME]"],
        ),
        (
            "[template.a.b]\nregion = 1\n",
            ['1:1: template.a.b: unknown table: a template\'s name with a dot needs quotes: [template."a.b"]'],
        ),
        (
            "[profile.fast]\nuid = 1\n",
            ["1:1: profile: unknown table: what mounts share goes below [template.NAME] (`use` names it)"],
        ),
    ],
)
def test_a_wrong_template_or_use_is_told(tmp_path: Path, text: str, told: list[str]) -> None:
    assert problems_told(written(tmp_path, text)) == told


def test_a_wrong_value_in_a_template_is_told_once_however_many_use_it(tmp_path: Path) -> None:
    mounts = MOUNT + 'use = "x"\n[mount.b]\nbucket = "bbb"\nmountpoint = "/mnt/b"\nuse = "x"\n'
    assert problems_told(written(tmp_path, "[template.x]\nuid = 0\n" + mounts)) == [
        "2:1: template.x.uid: must be between 1 and 4294967294, not 0"
    ]


def test_a_template_that_conflicts_by_itself_is_told_once(tmp_path: Path) -> None:
    text = "[template.x]\nallow-other = true\nallow-root = true\n" + MOUNT + 'use = "x"\n'
    assert problems_told(written(tmp_path, text)) == [
        "3:1: template.x.allow-root: allow-root conflicts with allow-other: keep one"
    ]


def test_a_template_that_conflicts_with_a_default_is_told_where_the_mount_names_it(tmp_path: Path) -> None:
    text = "[defaults]\nallow-other = true\n[template.x]\nallow-root = true\n" + MOUNT + 'use = "x"\n'
    assert problems_told(written(tmp_path, text)) == [
        "8:1: mount.a.use: allow-root conflicts with allow-other: keep one"
    ]


def test_a_mount_that_conflicts_with_its_template_is_told_at_its_own_key(tmp_path: Path) -> None:
    text = "[template.x]\nallow-root = true\n" + MOUNT + 'use = "x"\nallow-other = true\n'
    assert problems_told(written(tmp_path, text)) == [
        "7:1: mount.a.allow-other: allow-root conflicts with allow-other: keep one"
    ]


def test_what_a_template_that_is_not_there_may_have_is_not_told_as_missing(tmp_path: Path) -> None:
    text = '[mount.a]\nmountpoint = "/mnt/a"\nuse = "gone"\n'
    assert problems_told(written(tmp_path, text)) == ['3:1: mount.a.use: no template "gone": write [template.gone]']
