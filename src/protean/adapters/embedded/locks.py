"""File locks. They belong to an open file, so the kernel releases them however a process ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self


class LockFile:
    """A file that is locked rather than read.

    Descriptors are close-on-exec: a child holds the lock only when it is handed the descriptor on purpose
    (`Popen(pass_fds=...)`), and then until the last process that has it ends.
    """

    def __init__(self, path: Path, fd: int | None = None) -> None:
        self.path = path
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600) if fd is None else fd
        os.set_inheritable(self.fd, False)

    def shared(self) -> None:
        """Wait for the lock, together with others who want it shared."""
        fcntl.flock(self.fd, fcntl.LOCK_SH)

    def try_exclusive(self) -> bool:
        """Take the lock for ourselves alone; False, at once, when anybody else holds it in any way."""
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def held_elsewhere(self) -> bool:
        """Whether anybody holds the lock through another open file."""
        if not self.try_exclusive():
            return True
        self.release()
        return False

    def release(self) -> None:
        fcntl.flock(self.fd, fcntl.LOCK_UN)

    def in_place(self) -> bool:
        """Whether the path still names this very file, so that others meet us there."""
        try:
            return os.path.samestat(self.path.stat(), os.fstat(self.fd))
        except FileNotFoundError:
            return False

    def write_pid(self, pid: int | None) -> None:
        """Name the holder, for others who want to send it a signal; None: not known yet."""
        os.ftruncate(self.fd, 0)
        os.pwrite(self.fd, b"" if pid is None else b"%d" % pid, 0)

    def read_pid(self) -> int | None:
        text = os.pread(self.fd, 20, 0)
        return int(text) if text else None

    def close(self) -> None:
        os.close(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
