"""Database sessions that end while a handler is at work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from protean.write.context import active_domain
from protean.write.unit_of_work import current_unit_of_work

#: Ends the session of whoever fires the trigger, there and then.
ENDS = """
CREATE OR REPLACE FUNCTION end_session() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    PERFORM pg_terminate_backend(pg_backend_pid());
    PERFORM pg_sleep(60);
    RETURN NEW;
END $$;
"""
#: What sends the handlers' sessions to their end, by when that is: of account `a` only.
TRIGGERS: Mapping[str, str] = {
    "when its rows are written": f"""{ENDS}
CREATE TRIGGER ends BEFORE INSERT OR UPDATE ON ledger FOR EACH ROW
    WHEN (NEW.account_id = 'a') EXECUTE FUNCTION end_session()""",
    "at the commit": f"""{ENDS}
CREATE CONSTRAINT TRIGGER ends AFTER INSERT OR UPDATE ON ledger DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.account_id = 'a') EXECUTE FUNCTION end_session()""",
    "before the handler": f"""{ENDS}
CREATE TRIGGER ends BEFORE INSERT OR UPDATE ON positions FOR EACH ROW
    WHEN (NEW.stream_name = 'account-a') EXECUTE FUNCTION end_session()""",
    # So many times only: whoever then wrote a failure down would find the way free.
    "before the handler, five times": """
CREATE SEQUENCE ended;
CREATE FUNCTION end_session() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF nextval('ended') <= 5 THEN
        PERFORM pg_terminate_backend(pg_backend_pid());
        PERFORM pg_sleep(60);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER ends BEFORE INSERT OR UPDATE ON positions FOR EACH ROW
    WHEN (NEW.stream_name = 'account-a') EXECUTE FUNCTION end_session()""",
    "at the commit of another handler": f"""{ENDS}
CREATE CONSTRAINT TRIGGER ends AFTER INSERT ON inbox DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.handler = 'Postman') EXECUTE FUNCTION end_session()""",
}


def ending(account: str, number: int | None = None) -> Callable[[object], None]:
    """For `Bank.between`: the session ends in the handler of that account's events, or of one of them."""

    def between(event: object) -> None:
        if getattr(event, "account_id", "") == account and number in (None, getattr(event, "number", 0)):
            unit = current_unit_of_work(active_domain())
            assert unit is not None
            log: Any = unit.transaction("default").log
            log._session.fetch("SELECT pg_terminate_backend(pg_backend_pid())")

    return between
