"""The page of all public names with their proofs: `python -m tests.interface.table` writes it (`make docs`)."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

from tests.interface.existing import exists
from tests.interface.names import SECTIONS, TO_COME, Section
from tests.interface.proofs import ALL, ROOT, collected

PAGE = ROOT / "docs" / "interface.md"
Proofs = dict[str, dict[str, set[str]]]

INTRODUCTION = """\
# Every public name, and what proves it

Made by `make docs` out of the tests marked `@pytest.mark.proves("the name")`; a test fails when this page is not what
they say, and when a name has no proof. Names whose effect is in a database are proven on each of memory (m), SQLite (s)
and PostgreSQL (p); of the others the letters say what the test happens to use, and `-` that it uses none.
"""


def page(proofs: Proofs) -> str:
    """The whole page."""
    return "\n".join([INTRODUCTION, *(line for section in SECTIONS for line in _section(section, proofs)), *_to_come()])


def _section(section: Section, proofs: Proofs) -> Iterator[str]:
    yield f"## {section.title}\n"
    yield "| name | proven by | on |"
    yield "|---|---|---|"
    for name in section.names:
        for number, (test, databases) in enumerate(sorted(proofs.get(name, {}).items())):
            letters = "".join(each[0].lower() for each in ALL if each in databases) or "-"
            shown = name if "`" in name else f"`{name}`"
            yield f"| {shown if number == 0 else ''} | `{test}` | {letters} |"
    yield ""


def _to_come() -> Iterator[str]:
    yield "## To come\n"
    yield "Promised, and not there yet.\n"
    yield from (f"- `{name}`" for name in TO_COME)
    yield ""


def problems(proofs: Proofs) -> list[str]:
    """What is wrong with the names and their proofs, and what to do about it."""
    known = [name for section in SECTIONS for name in section.names]
    found = [f"{name} is in tests/interface/names.py and nowhere else" for name in known if not exists(name)]
    found += [f"{name} exists: move it from TO_COME into a section" for name in TO_COME if exists(name)]
    found += [f"{name} is twice in tests/interface/names.py" for name in {*known} if known.count(name) > 1]
    found += [
        f"{name} is proven by {', '.join(sorted(tests))} and unknown: correct the mark, or add it to names.py"
        for name, tests in sorted(proofs.items())
        if name not in known
    ]
    for section in SECTIONS:
        for name in section.names:
            on = set().union(*proofs.get(name, {}).values())
            missing = [each for each in ALL if section.everywhere and each not in on]
            if name not in proofs:
                found.append(f"{name} has no proof: mark a test with @pytest.mark.proves({name!r})")
            elif missing:
                found.append(f"{name} is not proven on {', '.join(missing)}")
    return found


def main() -> None:
    """Write the page; with `--check`, only say what is wrong, as JSON."""
    proofs = collected()
    if "--check" in sys.argv:
        stale = [] if PAGE.exists() and PAGE.read_text() == page(proofs) else ["docs/interface.md is stale: make docs"]
        print("\n" + json.dumps(problems(proofs) + stale))
        return
    PAGE.write_text(page(proofs))
    for problem in problems(proofs):
        print(f"docs: {problem}")


if __name__ == "__main__":
    main()
