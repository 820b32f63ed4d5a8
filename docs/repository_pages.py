"""For mkdocs (mkdocs.yml names it): what pages link to outside docs/ becomes part of the site, below `repository/`.

Pages and examples link to each other as files of the repository, so that they can be read there. On the site such a
link leads to a copy: a page for Markdown, a page with a list for a directory, the file itself for all else. What is
linked to and is not there is left as it is, so that mkdocs names it, and `--strict` fails.
"""

import os
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel

ROOT: Final = Path(__file__).resolve().parent.parent
BELOW: Final = "repository"
# Those of the repository's front, whether a page links to them or not.
FRONT: Final = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "SECURITY.md")

# A link of Markdown in one line, as all of ours are: its target without the anchor, and the anchor.
_LINK: Final = re.compile(r"(?<=\]\()([^)#\s:]+)(#[^)\s]*)?(?=\))")
_FENCE: Final = re.compile(r"^```.*?^```\s*$", re.MULTILINE | re.DOTALL)


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add what is linked to outside docs/, and what that links to."""
    waiting = [path for name in FRONT if (path := ROOT / name).exists()]
    for file in files.documentation_pages():
        waiting += _outside(ROOT / "docs" / file.src_uri)
    seen: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        waiting += _outside(path)
        files.append(_file(path, config))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: object) -> str:
    """Lead links to where the site has what they mean."""
    here = source(page.file.src_uri)
    out = []
    last = 0
    for fence in _FENCE.finditer(markdown):
        out += [_relinked(markdown[last : fence.start()], here, page.file.src_uri), fence[0]]
        last = fence.end()
    return "".join([*out, _relinked(markdown[last:], here, page.file.src_uri)])


def source(uri: str) -> Path:
    """The file, or the directory, of the repository that a page of the site is made from."""
    if not uri.startswith(f"{BELOW}/"):
        return ROOT / "docs" / uri
    path = uri.removeprefix(f"{BELOW}/")
    return ROOT / path.removesuffix("/listing.md") if path.endswith("/listing.md") else ROOT / _unnamed(path)


def place(path: Path) -> str:
    """Where the site has a file of the repository."""
    relative = path.relative_to(ROOT)
    if relative.parts[0] == "docs":
        return relative.relative_to("docs").as_posix()
    if path.is_dir():
        return f"{BELOW}/{relative}/listing.md"
    return f"{BELOW}/{_named(relative.as_posix())}"


def _named(path: str) -> str:
    # mkdocs takes a README for the index of its directory, and links to it by its name would be lost.
    return re.sub(r"README\.md$", "read-me.md", path)


def _unnamed(path: str) -> str:
    return re.sub(r"read-me\.md$", "README.md", path)


def _relinked(text: str, here: Path, uri: str) -> str:
    def other(link: re.Match[str]) -> str:
        path = _target(here, link[1])
        if path is None or (path.is_relative_to(ROOT / "docs") and here.is_relative_to(ROOT / "docs")):
            return link[0]
        return posixpath.relpath(place(path), posixpath.dirname(uri)) + (link[2] or "")

    return _LINK.sub(other, text)


def _outside(path: Path) -> Iterator[Path]:
    """What a file, or a directory by its list, leads to that is not in docs/."""
    if path.is_dir():
        yield from _listed(path)
    elif path.suffix == ".md":
        for link in _LINK.finditer(_FENCE.sub("", path.read_text())):
            target = _target(path, link[1])
            if target is not None and not target.is_relative_to(ROOT / "docs"):
                yield target


def _target(here: Path, link: str) -> Path | None:
    """What a link of a page means; None: nothing that is in the repository."""
    path = Path(os.path.normpath((here if here.is_dir() else here.parent) / link))
    return path if path.is_relative_to(ROOT) and path.exists() else None


def _listed(path: Path) -> list[Path]:
    return sorted(each for each in path.iterdir() if not each.name.startswith((".", "__")))


def _file(path: Path, config: MkDocsConfig) -> File:
    uri = place(path)
    if path.is_dir():
        names = [f"* [{each.name}{'/' * each.is_dir()}]({each.name})" for each in _listed(path)]
        content = "\n".join([f"# {path.relative_to(ROOT)}", "", *names, ""])
        made = File.generated(config, uri, content=content)
    else:
        made = File.generated(config, uri, abs_src_path=str(path))
    made.inclusion = InclusionLevel.NOT_IN_NAV
    return made
