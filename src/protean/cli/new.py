"""`protean new`: a small application that works, to be changed into one's own."""

from __future__ import annotations

import keyword
import re
import shutil
import sys
import tempfile
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from protean.cli.grammar import JsonOption, command, examples
from protean.cli.output import say, show_json
from protean.exceptions import ConfigurationError

_NAME = re.compile(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*")
#: What every template's name ends with, which keeps it from being taken for code of this package.
_ENDING = ".tmpl"
#: Names of imports that are somebody else's, beside those of Python itself.
_FOREIGN = frozenset({"protean", "tests"})

NameArgument = Annotated[str, typer.Argument(help="What it is called, as in `shop` or `my-shop`.", show_default=False)]
IntoOption = Annotated[
    Path | None, typer.Option("--into", metavar="FOLDER", help="Where to make it; by default ./NAME.")
]


def new(name: NameArgument, into: IntoOption = None, as_json: JsonOption = False) -> None:
    """Make a small application: an aggregate, a read model, configuration and tests that pass.

    Nothing that exists is overwritten: the folder must not be there, or be empty. It is made in one step or not at all.
    """
    package = _package(name)
    folder = into or Path(name)
    _refuse_to_overwrite(folder)
    made = _make(folder, {"name": name, "package": package})
    if as_json:
        show_json({"folder": str(folder), "package": package, "files": made})
        return
    say(f"{folder}/ is there:")
    for file in made:
        say(f"  {file}")
    say(f"\nNext:\n  cd {folder} && pytest\n  protean dev --domain={package}")


app = command(new, epilog=examples("protean new shop && cd shop && pytest", "protean new my-shop --into=src"))


def _package(name: str) -> str:
    """The package that an application of this name is in. Raises ConfigurationError where there can be none."""
    package = name.replace("-", "_")
    if len(name) > 40 or not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"{name!r:.60} is no name for an application: at most 40 small letters and digits, with - or _ between "
            "them, as in `shop` or `my-shop`"
        )
    if keyword.iskeyword(package) or package in sys.stdlib_module_names or package in _FOREIGN:
        raise ConfigurationError(f"{name!r} cannot be imported under that name, which is taken; choose another")
    return package


def _refuse_to_overwrite(folder: Path) -> None:
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise ConfigurationError(f"{folder} is there already and is no folder; remove it, or give another --into")
    if folder.exists() and any(folder.iterdir()):
        raise ConfigurationError(f"{folder} is there already and not empty; nothing was written. Give another --into")


def _make(folder: Path, words: dict[str, str]) -> list[str]:
    """Write everything beside the folder and then give it its name; the files, sorted."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            _fill(aside, files("protean.cli") / "scaffold", words)
            aside.chmod(0o755)  # mkdtemp's is for us alone
            made = sorted(str(file.relative_to(aside)) for file in aside.rglob("*") if file.is_file())
            aside.rename(folder)
        except BaseException:
            shutil.rmtree(aside)
            raise
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be made: {error.strerror or error}; choose --into") from error
    return made


def _fill(folder: Path, templates: Traversable, words: dict[str, str]) -> None:
    for each in templates.iterdir():
        if each.is_dir():
            inner = folder / (words["package"] if each.name == "package" else each.name)
            inner.mkdir()
            _fill(inner, each, words)
        elif each.name.endswith(_ENDING):
            name = each.name.removesuffix(_ENDING)
            text = Template(each.read_text(encoding="utf-8")).substitute(words)
            (folder / (".gitignore" if name == "gitignore" else name)).write_text(text, encoding="utf-8")
