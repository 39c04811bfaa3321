"""What the servers' processes say to the broker, as the broker heard it: fit for a cluster, and never destructive."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from redis import Redis
from redis.exceptions import ResponseError
from tests.faults.conftest import Trial, tried

#: What would lose unread entries, other people's keys, or the lag of a group.
FORBIDDEN = {"KEYS", "FLUSHALL", "FLUSHDB", "XDEL", "XSETID", "MULTI", "RENAME", "SWAPDB"}
END = "that is all"


def test_no_command_of_a_whole_run_names_two_keys_or_destroys_what_is_unread(
    tmp_path: Path, database_url: str, broker_url: str
) -> None:
    with tried(tmp_path, database_url, broker_url) as trial, Redis.from_url(broker_url) as admin:
        with heard(broker_url, admin) as commands:
            run_with_a_takeover_and_dead_letters(trial)
        verbs = {command.split(" ")[0].upper() for command in commands}
        assert verbs >= {"XADD", "XREADGROUP", "XACK", "XTRIM", "XCLAIM", "EVALSHA", "PUBLISH"}
        assert_fit(admin, commands)
        capped = {command.split(" ")[1] for command in commands if "MAXLEN" in command.split(" ")[:4]}
        assert capped <= {"thing:dlq", "thing:backfill:dlq"}


def assert_fit(admin: Redis, commands: list[str], capped: Collection[str] = ()) -> None:
    """No command names two keys, waits for ever, or destroys what is unread; but for dead letters and `capped`."""
    words = [command.split(" ") for command in commands]
    assert not {each[0].upper() for each in words} & FORBIDDEN
    # EVAL is what follows an EVALSHA that the broker did not know, with the same key behind the script's own words.
    for each in (command for command in words if command[0] != "EVAL"):
        assert len(keys(admin, each)) <= 1, each[:12]
    assert not [each for each in words if blocks_for_ever(each)]
    without_limit = {each[1] for each in words if "MAXLEN" in each[:4] and not each[1].endswith(":dlq")}
    assert without_limit == set(capped)


def run_with_a_takeover_and_dead_letters(trial: Trial) -> None:
    """So that everything a server ever says is said: also what is left of a dead one, and of a failure."""
    trial.start(workers=2)
    with trial.load():
        trial.order("sub.mid_handler@primary")
        trial.wait_for(lambda: bool(trial.carried_out()), 30.0, lambda: "nobody has died yet")
        trial.wait_for(lambda: trial.oracle.dead() > 0, 30.0, lambda: "nothing is dead yet")
    trial.settle()
    trial.assert_exact()
    assert trial.stop() == [0]


def keys(admin: Redis, command: list[str]) -> set[str]:
    """The keys that a command names, as the broker itself sees it."""
    try:
        found: list[str] = admin.command_getkeys(*command)
    except ResponseError as error:
        if "no key arguments" not in str(error):
            raise
        return set()
    return set(found)


def blocks_for_ever(command: list[str]) -> bool:
    """Whether it waits without a limit: only the words before the streams' names are options."""
    options = [word.upper() for word in command[: command.index("STREAMS")]] if "STREAMS" in command else []
    return "BLOCK" in options and options[options.index("BLOCK") + 1] == "0"


@contextmanager
def heard(broker_url: str, admin: Redis) -> Iterator[list[str]]:
    """Everything that is said in this logical database while the block lasts, scripts' own commands included."""
    number = admin.connection_pool.connection_kwargs["db"]
    commands: list[str] = []
    listening = threading.Event()

    def listen() -> None:
        with Redis.from_url(broker_url, socket_timeout=None) as client, client.monitor() as monitor:
            listening.set()
            for told in monitor.listen():
                if END in told["command"]:
                    return
                if told["db"] == number:
                    commands.append(told["command"])

    listener = threading.Thread(target=listen)
    listener.start()
    assert listening.wait(10)
    try:
        yield commands
    finally:
        admin.echo(END)
        listener.join(60)
