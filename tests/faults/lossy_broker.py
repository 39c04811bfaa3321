"""A Valkey of a test's own that can forget: everything, the end, one stream, one group."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from redis import Redis
from tests.faults.own_broker import OwnBroker


class LossyBroker(OwnBroker):
    """Keeps an append-only file in `folder`, of which `remember` makes a copy to come back to."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._file = folder / "appendonlydir"
        self._copy = folder / "copy"
        self.remembered = False

    def remember(self) -> None:
        """Keep the file as it is now: every write is in it before its reply is sent."""
        shutil.copytree(self._file, self._copy)
        self.remembered = True

    def flush(self) -> None:
        with Redis.from_url(self.url) as client:
            client.flushall()

    def swap(self) -> None:
        """Another server answers at the same address, which knows nothing."""
        self.kill()
        shutil.rmtree(self._file)
        self.start()

    def restart(self) -> None:
        """Kill -9 and come back with the file: nothing is lost."""
        self.kill()
        self.start()

    def rewind(self) -> None:
        """Come back as of the copy, like a replica that was promoted and had not got the rest."""
        self.kill()
        shutil.rmtree(self._file)
        shutil.move(self._copy, self._file)
        self.start()

    def delete(self, *streams: str) -> None:
        with Redis.from_url(self.url) as client:
            for stream in streams:
                assert client.delete(stream)

    def destroy(self, stream: str, *groups: str) -> None:
        with Redis.from_url(self.url) as client:
            for group in groups:
                assert client.xgroup_destroy(stream, group)

    def trim(self, stream: str) -> None:
        """What an administrator does who finds a stream too long."""
        with Redis.from_url(self.url) as client:
            assert client.xtrim(stream, maxlen=0, approximate=False)

    def acknowledge_all(self, stream: str, group: str) -> None:
        """What a script does that uses the wrong group's name: reads and acknowledges what was not for it."""
        with Redis.from_url(self.url) as client:
            while read := client.xreadgroup(group, "stranger", {stream: ">"}, count=1000):
                client.xack(stream, group, *(entry_id for entry_id, _ in read[0][1]))
            client.xgroup_delconsumer(stream, group, "stranger")


#: What may become of a broker, by a name for people.
Fault = Callable[[LossyBroker], None]
