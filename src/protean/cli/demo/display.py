"""What is seen while the demo runs: bars on a terminal, a line every other second in a pipe."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

#: Seconds between two lines of progress where bars cannot be drawn.
LINE_EVERY = 2.0


class Bars(Protocol):
    def show(self, *done: int, note: str = "") -> None:
        """So much is done, bar by bar; `note` is shown beside them."""
        ...


class Display:
    """Speaks on standard output, or with `aside` on standard error, where it does not mix with a JSON object."""

    def __init__(self, *, aside: bool) -> None:
        self._stream: TextIO = sys.stderr if aside else sys.stdout
        self._began = time.monotonic()

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self._began:6.1f} s  {text}", file=self._stream, flush=True)

    @contextmanager
    def bars(self, total: int, *names: str) -> Iterator[Bars]:
        """Bars of these names, each to `total`; when that is exceeded, it grows."""
        if not self._stream.isatty():
            lines = _Lines(self, total, names)
            yield lines
            lines.finish()
            return
        columns = (
            TextColumn("          {task.description:<8}"),
            BarColumn(36),
            TaskProgressColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=Console(file=self._stream, highlight=False), refresh_per_second=4) as progress:
            yield _Drawn(progress, total, names)


class _Drawn:
    def __init__(self, progress: Progress, total: int, names: tuple[str, ...]) -> None:
        self._progress = progress
        self._total = total
        self._tasks = [progress.add_task(name, total=total, note="") for name in names]

    def show(self, *done: int, note: str = "") -> None:
        for task, number in zip(self._tasks, done, strict=True):
            shown = note if task == self._tasks[-1] else ""
            self._progress.update(task, completed=number, total=max(self._total, number), note=shown)


class _Lines:
    def __init__(self, display: Display, total: int, names: tuple[str, ...]) -> None:
        self._display = display
        self._total = total
        self._names = names
        self._text = ""
        self._said = ""
        self._next = time.monotonic() + LINE_EVERY

    def show(self, *done: int, note: str = "") -> None:
        figures = [f"{name} {number:,}" for name, number in zip(self._names, done, strict=True)]
        total = max(self._total, *done)
        self._text = f"  {', '.join(figures)} of {total:,}{'  ' + note if note else ''}"
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + LINE_EVERY
            self.finish()

    def finish(self) -> None:
        """Say what was shown last."""
        if self._text != self._said:
            self._said = self._text
            self._display.say(self._text)
