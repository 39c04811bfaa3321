"""Finding the domain that a path on the command line means: a module, a file, a folder, or `module:attribute`."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path
from types import ModuleType

from protean.domain import Domain
from protean.exceptions import ConfigurationError


def load_domain(path: str) -> Domain:
    """The domain at `path`, not yet initialised. Raises ConfigurationError saying what was looked for where."""
    where, _, attribute = path.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    file = Path(where)
    modules = _modules_of_path(file.resolve(), path) if file.exists() else [_imported(where, path)]
    if attribute:
        return _attribute(modules[0], attribute, path)
    found: dict[int, tuple[str, Domain]] = {}
    for module in modules:
        for name, value in vars(module).items():
            if isinstance(value, Domain):
                found.setdefault(id(value), (f"{module.__name__}:{name}", value))
    if len(found) == 1:
        return next(iter(found.values()))[1]
    if not found:
        raise ConfigurationError(
            f"--domain={path}: no Domain in {', '.join(module.__name__ for module in modules)}; "
            "name the module that makes it, as in --domain=my_app.identity.domain:identity"
        )
    names = ", ".join(sorted(name for name, _ in found.values()))
    raise ConfigurationError(f"--domain={path}: several domains ({names}); name one of them as module:attribute")


def _modules_of_path(path: Path, given: str) -> list[ModuleType]:
    """The module of a file; of a folder, the package and what is in it."""
    if path.is_file() and path.suffix != ".py":
        raise ConfigurationError(f"--domain={given}: {path.name} is not a Python file")
    names = [path.stem] if path.is_file() and path.stem != "__init__" else []
    folder = path.parent if path.is_file() else path
    root = folder
    while (root / "__init__.py").exists():
        names.insert(0, root.name)
        root = root.parent
    if path.is_dir() and root == folder:  # a folder without __init__.py is a package all the same
        names, root = [folder.name], folder.parent
    sys.path.insert(0, str(root))
    module = _imported(".".join(names), given)
    if path.is_file():
        return [module]
    inner = [found.name for found in pkgutil.walk_packages(module.__path__, f"{module.__name__}.")]
    likely = [name for name in inner if name.rpartition(".")[2] == "domain"] or inner
    return [module, *(_imported(name, given) for name in likely if not name.endswith("__main__"))]


def _imported(name: str, given: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not name.startswith(error.name):
            raise  # the module is there, something that it imports is not
        raise ConfigurationError(
            f"--domain={given}: there is no file, folder or module of that name in {Path.cwd().name}/ or on the "
            f"import path ({error})"
        ) from None


def _attribute(module: ModuleType, attribute: str, given: str) -> Domain:
    value = getattr(module, attribute, None)
    if not isinstance(value, Domain):
        what = f"is {value!r:.60}, not a Domain" if value is not None else "does not exist"
        raise ConfigurationError(f"--domain={given}: `{attribute}` in {module.__name__} {what}")
    return value
