"""Every option is in docs/configuration.md, in the words and with the default it has in the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from protean.config import schema
from protean.config.schema import Config, Section

DOCUMENT = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
SECTIONS = [value for value in vars(schema).values() if isinstance(value, type) and issubclass(value, Section)]
OPTIONS = [
    (section, name)
    for section in SECTIONS
    for name, option in section.model_fields.items()
    if not (isinstance(option.annotation, type) and issubclass(option.annotation, Section))
    and not (section is Config and name in ("databases", "brokers"))
]


@pytest.mark.parametrize(("section", "name"), OPTIONS, ids=[f"{section.__name__}.{name}" for section, name in OPTIONS])
def test_the_option_is_documented(section: type[Section], name: str) -> None:
    rows = [line for line in DOCUMENT.splitlines() if line.startswith(f"| `{name}` |")]
    assert any(line.endswith(f"| {section.model_fields[name].description} |") for line in rows)
