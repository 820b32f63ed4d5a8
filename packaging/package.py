"""Builds the Debian and the RPM package: `make packages`.

What goes where is in packaging/nfpm.yaml; this makes what it needs. The program is a virtual environment at
/usr/lib/mountctl, of the Python of the distribution that it is built on: a package is for that distribution and
architecture. Everything comes to lie in build/package, the packages in dist/.

The same commit makes the same bytes, wherever and whenever that is: libraries have the versions of constraints.txt,
files the time of the commit, and nothing names the directory that it was built in.
"""

import argparse
import fcntl
import gzip
import os
import platform
import re
import shutil
import stat
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any, Final

import engine

REPOSITORY: Final = Path(__file__).resolve().parents[1]
STAGE: Final = REPOSITORY / "build" / "package"
DIST: Final = REPOSITORY / "dist"
# pip keeps what it has built and fetched. Not in the user's cache, which has libraries that were built otherwise.
CACHE: Final = REPOSITORY / "build" / "package-cache"
CONSTRAINTS: Final = REPOSITORY / "packaging" / "constraints.txt"
# Where it lies when it is installed: in the first line of scripts.
HOME: Final = Path("/usr/lib/mountctl")
# Not the one of a pyenv or a container image: a package may depend on what the distribution has.
PYTHON: Final = Path("/usr/bin/python3")
KINDS: Final = ("deb", "rpm")
# GOARCH's names, which nfpm turns into those of dpkg and rpm.
MACHINES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
# What units of the package need (systemd/mountctl-otlp.service).
EXTRAS: Final = "otlp"
COMPLETIONS: Final = {"bash": "mountctl", "zsh": "_mountctl", "fish": "mountctl.fish"}

# -I: neither PYTHONPATH nor root's ~/.local decides what a service of the host runs.
# Whoever publishes packages says who they are.
NOBODY: Final = "The mountctl authors <mountctl@localhost>"
# Libraries that are compiled here: debug information has the directory, which is another one each time.
_PIP: Final = {
    "CFLAGS": "-g0",
    "PIP_CACHE_DIR": str(CACHE),
    "PIP_CONSTRAINT": str(CONSTRAINTS),
    "PIP_BUILD_CONSTRAINT": str(CONSTRAINTS),
}

_LAUNCHER: Final = f"#!{HOME}/bin/python -I\nfrom mountctl.cli import main\n\nmain()\n"


def main() -> int:
    """Build packages. Returns the exit code; raises CalledProcessError when a tool fails, which has said why."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kind", choices=KINDS, action="append", help="only this one; may be repeated")
    options.add_argument("--into", type=Path, default=DIST, help="the directory for packages")
    given = options.parse_args()
    STAGE.parent.mkdir(exist_ok=True)
    with STAGE.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests that run side by side build here
        shutil.rmtree(STAGE, ignore_errors=True)
        STAGE.mkdir()
        install()
        write_texts()
        make_uniform(int(source_date()))
        for kind in given.kind or KINDS:
            pack(kind, given.into)
    return 0


def install() -> None:
    """The virtual environment as it is installed: the packages, byte-compiled, and two names in bin."""
    scratch = STAGE / "scratch"
    python = scratch / "bin" / "python"
    run(PYTHON, "-m", "venv", "--without-pip", scratch)
    pip = (sys.executable, "-m", "pip", "--python", python)
    run(*pip, "install", "--quiet", "--no-compile", f"{REPOSITORY}[{EXTRAS}]", environment=_PIP)
    version = python_version()
    home = STAGE / "home"
    packages = home / "lib" / f"python{version}" / "site-packages"
    packages.parent.mkdir(parents=True)
    (scratch / "lib" / f"python{version}" / "site-packages").rename(packages)
    shutil.rmtree(scratch)
    for record in packages.glob("mountctl_s3-*.dist-info/direct_url.json"):
        record.unlink()  # the path of the repository that it was built from
    for record in packages.glob("*.dist-info/RECORD"):
        # Programs of libraries, which are not packed; their first lines have the path, too.
        lines = record.read_text().splitlines(keepends=True)
        record.write_text("".join(line for line in lines if not line.startswith("../") and "direct_url" not in line))
    # By hash, and unchecked: valid whatever the files' times are, and root's runs leave no files that no package owns.
    options = ["-q", "-j", "0", "--invalidation-mode", "unchecked-hash"]
    run(PYTHON, "-m", "compileall", *options, "-s", packages, "-p", HOME / packages.relative_to(home), packages)
    (home / "pyvenv.cfg").write_text(f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {version}\n")
    (home / "bin").mkdir()
    (home / "bin" / "python").symlink_to(f"/usr/bin/python{version}")
    launcher = home / "bin" / "mountctl"
    launcher.write_text(_LAUNCHER)
    launcher.chmod(0o755)


def write_texts() -> None:
    """Manual pages, and completions of shells."""
    run(sys.executable, "-m", "docs.manuals", STAGE / "man")
    for page in (STAGE / "man").iterdir():
        page.with_name(f"{page.name}.gz").write_bytes(gzip.compress(page.read_bytes(), mtime=0))
    for shell, name in COMPLETIONS.items():
        place = STAGE / "completions" / shell / name
        place.parent.mkdir(parents=True)
        program = (Path(sys.prefix) / "bin" / "mountctl", "completion", shell)
        place.write_text(subprocess.run(program, check=True, capture_output=True, text=True).stdout)


def make_uniform(seconds: int) -> None:
    """What is packed as whole trees keeps its times and modes: these are to be nobody's umask and clock."""
    shutil.copytree(REPOSITORY / "config" / "examples", STAGE / "examples")
    for path in STAGE.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
        os.utime(path, (seconds, seconds), follow_symlinks=False)


def pack(kind: str, into: Path) -> None:
    """One package."""
    into.mkdir(exist_ok=True)
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    told = {
        "VERSION": engine.__version__,
        "MAINTAINER": maintainer(project),
        "LICENSE": project["license"]["text"],
        "ARCHITECTURE": MACHINES.get(platform.machine(), platform.machine()),
        "PYTHON_VERSION": python_version(),
        "LIBC_VERSION": libc_version(),
        "LIBFUSE": owner_of_libfuse(),
        "SOURCE_DATE_EPOCH": source_date(),
    }
    nfpm = Path(sys.prefix) / "bin" / "nfpm"
    arguments = ("package", "--config", "packaging/nfpm.yaml", "--packager", kind, "--target", f"{into}/")
    run(nfpm, *arguments, environment=told)


def maintainer(project: dict[str, Any]) -> str:
    """Who answers for the packages, as `Name <address>`: MAINTAINER, or the first of pyproject.toml's maintainers."""
    if given := os.environ.get("MAINTAINER"):
        return given
    for person in project.get("maintainers", ()):
        return f"{person['name']} <{person['email']}>"
    sys.stderr.write(f"packages: nobody answers for them: MAINTAINER='Name <address>' says who; now: {NOBODY}\n")
    return NOBODY


def python_version() -> str:
    """Of the distribution's Python, as `3.11`."""
    ask = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run([PYTHON, "-c", ask], check=True, capture_output=True, text=True).stdout.strip()


def libc_version() -> str:
    """The oldest libc that has all that our binaries use, as `2.34`: each names the versions of its symbols."""
    found = {
        tuple(map(int, match.split(b".")))
        for binary in (STAGE / "home").rglob("*.so*")
        for match in re.findall(rb"\0GLIBC_(\d+\.\d+)\b", binary.read_bytes())
    }
    return ".".join(map(str, max(found)))


def owner_of_libfuse() -> str:
    """The Debian package that has libfuse here: libfuse3-3, or libfuse3-4 since Debian 13."""
    try:
        done = subprocess.run(
            ["dpkg-query", "--search", "*/libfuse3.so.?"], check=False, capture_output=True, text=True
        )
    except FileNotFoundError:  # not a Debian: the rpm does not ask for a package of this name
        return "libfuse3-3"
    return done.stdout.split(":", 1)[0] or "libfuse3-3"


def source_date() -> str:
    """The time that files have, as seconds: SOURCE_DATE_EPOCH, or when the last commit was made."""
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return given
    last = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], check=False, capture_output=True, text=True, cwd=REPOSITORY
    )
    return last.stdout.strip() or str(int(time.time()))


def run(*command: object, environment: dict[str, str] | None = None) -> None:
    """Run a tool, whose output is seen. Raises CalledProcessError."""
    subprocess.run([str(word) for word in command], check=True, cwd=REPOSITORY, env=os.environ | (environment or {}))


if __name__ == "__main__":
    sys.exit(main())
