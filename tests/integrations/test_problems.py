"""Errors are problems: a status, what is wrong with which field, the request's id; and nothing of anybody's data."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, HTTPException, Query
from pydantic import BaseModel
from tests.integrations.conftest import application, served
from tests.support.years import Orders, build_orders

from protean import exceptions
from protean.exceptions import (
    BrokerUnavailableError,
    ConfigurationError,
    DatabaseUnavailableError,
    DuplicateCommandError,
    ExpectedVersionError,
    InvalidOperationError,
    NotSupportedError,
    ObjectNotFoundError,
    SessionLostError,
    TableMissingError,
    TransientDatabaseError,
    ValidationError,
)
from protean.integrations.fastapi import PROBLEM_RESPONSES, register_exception_handlers

SECRET = "s3cr3t"
#: Of a surrogate pair: Unicode cannot send it, JSON's escapes can.
HALF = "\ud800"


class OrderClosedError(Exception):
    """The application's own."""


class Sent(BaseModel):
    amount: int


@pytest.mark.parametrize(
    ("error", "status", "name", "retry_after"),
    [
        (ValidationError({"amount": [f"is {HALF}"]}), 422, "invalid", None),
        (ObjectNotFoundError(SECRET), 404, "not-found", None),
        (ExpectedVersionError(SECRET), 409, "version-conflict", None),
        (DuplicateCommandError(SECRET, SECRET, SECRET, datetime.now(UTC)), 409, "idempotency-key-in-use", None),
        (InvalidOperationError(SECRET), 409, "invalid-operation", None),
        (NotSupportedError(SECRET), 501, "not-supported", None),
        (TransientDatabaseError(SECRET), 503, "busy", "1"),
        (DatabaseUnavailableError(SECRET), 503, "unavailable", "5"),
        (SessionLostError(SECRET), 503, "unavailable", "5"),
        (BrokerUnavailableError(SECRET), 503, "unavailable", "5"),
        (TableMissingError(SECRET), 500, None, None),
        (ConfigurationError(SECRET), 500, None, None),
        (RuntimeError(SECRET), 500, None, None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_every_error_has_its_status_and_tells_nothing_that_was_not_meant_for_strangers(
    in_memory: Orders, error: Exception, status: int, name: str | None, retry_after: str | None
) -> None:
    def fail(_command: Any) -> None:
        raise error

    in_memory.in_command = fail
    with served(application(in_memory)) as client:
        answer = client.post("/orders/a", headers={"X-Correlation-ID": "request-1"})

    said = answer.json()
    assert (answer.status_code, said["status"]) == (status, status)
    assert said["type"] == ("about:blank" if name is None else f"urn:problem-type:protean:{name}")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers.get("Retry-After") == retry_after
    assert answer.headers.get_list("X-Correlation-ID") == [said["correlation_id"]] == ["request-1"]
    assert SECRET not in answer.text
    assert said.get("errors") == ([{"field": "amount", "detail": f"is {HALF}"}] if status == 422 else None)
    assert ("detail" in said) is (status != 500)


def test_every_error_there_is_has_been_thought_of() -> None:
    """Those left out are mistakes in the program or its installation, or meet nobody who asks over HTTP."""
    app = FastAPI()
    register_exception_handlers(app)
    answered = tuple(cls for cls in app.exception_handlers if isinstance(cls, type) and cls is not Exception)
    errors = [each for each in vars(exceptions).values() if isinstance(each, type) and issubclass(each, Exception)]

    assert {error.__name__ for error in errors if not issubclass(error, answered)} == {
        "BrokerError",
        "ConfigurationError",
        "DatabaseError",
        "DeserializationError",
        "GroupMissingError",
        "HandlerDiedError",
        "HistoryRemovedError",
        "ProteanError",
        "RebuildError",
        "TableMissingError",
        "UnknownTypeError",
        "UpcastError",
    }


@pytest.mark.proves("protean.integrations.fastapi.register_exception_handlers")
def test_what_the_domain_refuses_is_refused_by_field_on_every_database(orders: Orders) -> None:
    with served(application(orders)) as client:
        assert client.post("/orders/a").status_code == 201
        taken, unknown = client.post("/orders/a"), client.post("/orders/nobody/ship")
        too_much = client.post("/orders/b", params={"amount": 2**70})

    assert (taken.status_code, taken.json()["errors"]) == (422, [{"field": "order_id", "detail": "is already taken"}])
    assert (unknown.status_code, unknown.json()["title"]) == (404, "Not found")
    assert too_much.status_code == 422
    assert too_much.json()["errors"][0]["field"] == "amount"


def test_a_race_that_is_lost_again_and_again_is_a_conflict(orders: Orders) -> None:
    """Somebody else saves the same order, behind every attempt's back."""

    def overtake(command: Any) -> None:
        if type(command).__name__ == "Ship":
            orders.in_command = lambda _command: None
            raise ExpectedVersionError("order a was changed")

    with served(application(orders)) as client:
        client.post("/orders/a")
        orders.in_command = overtake
        assert client.post("/orders/a/ship").status_code == 200  # handled again, as alone
        orders.in_command = always_overtaken
        assert client.post("/orders/a/ship").status_code == 409


def always_overtaken(_command: Any) -> None:
    raise ExpectedVersionError("order a was changed")


@pytest.mark.parametrize("uri", ["postgresql://nobody@127.0.0.1:1/nowhere", "sqlite:////nowhere/at/all.db"])
def test_a_database_that_is_away_is_unavailable_and_only_the_log_says_which(
    uri: str, caplog: pytest.LogCaptureFixture
) -> None:
    orders = build_orders({"databases": {"default": {"database_uri": uri}}})
    with served(application(orders)) as client:
        answer = client.post("/orders/a", headers={"X-Correlation-ID": "request-1"})
        ready = client.get("/readyz")

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert (ready.status_code, ready.json()["reasons"]) == (503, ["the default database does not answer"])
    assert "nowhere" not in answer.text + ready.text
    assert "correlation id request-1" in caplog.text
    assert "nowhere" in caplog.text


def test_an_unexpected_error_is_logged_with_the_id_that_its_client_was_told(
    in_memory: Orders, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_command: Any) -> None:
        raise RuntimeError(SECRET)

    in_memory.in_command = fail
    with served(application(in_memory)) as client:
        told = client.post("/orders/a").json()

    (line,) = [record.message for record in caplog.records if record.name.startswith("protean.")]
    assert told == {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "correlation_id": told["correlation_id"],
    }
    assert line == f"POST '/orders/a' is answered with 500, correlation id {told['correlation_id']}: RuntimeError"


def test_a_call_that_makes_no_sense_is_logged_with_its_place(
    in_memory: Orders, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_command: Any) -> None:
        raise InvalidOperationError("closed")

    in_memory.in_command = fail
    with caplog.at_level(logging.WARNING), served(application(in_memory)) as client:
        client.post("/orders/a")

    (record,) = [record for record in caplog.records if record.name.startswith("protean.")]
    assert record.exc_info
    assert "InvalidOperationError: closed" in record.message


class TestRequests:
    """What never reaches the domain has problems of the same shape."""

    @pytest.fixture
    def app(self, in_memory: Orders) -> FastAPI:
        app = application(in_memory)

        @app.post("/sent")
        async def take(sent: Sent, most: Annotated[int, Query()] = 1) -> None: ...

        @app.get("/refused")
        async def refuse() -> None:
            raise HTTPException(418, {"short": "and", "stout": [1]}, {"X-Tea": "Earl Grey"})

        @app.get("/unchanged")
        async def unchanged() -> None:
            raise HTTPException(304, headers={"ETag": "x"})

        return app

    @pytest.mark.parametrize(
        ("body", "query", "field"),
        [
            (f'{{"amount": "{SECRET}"}}', "", "amount"),
            ("{}", "", "amount"),
            ("{", "", None),
            ("[]", "", None),
            ('{"amount": NaN}', "", "amount"),
            ('{"amount": "\\ud800"}', "", "amount"),
            ('{"amount": 1}', "?most=many", "most"),
        ],
    )
    def test_a_request_that_does_not_fit_is_told_where_and_not_what_it_was(
        self, app: FastAPI, body: str, query: str, field: str | None
    ) -> None:
        with served(app) as client:
            answer = client.post(f"/sent{query}", content=body, headers={"Content-Type": "application/json"})

        assert (answer.status_code, answer.json()["type"]) == (422, "urn:problem-type:protean:invalid")
        (error,) = answer.json()["errors"]
        assert error["field"] == field
        assert error["detail"]
        assert SECRET not in answer.text

    def test_the_frameworks_own_answers_are_problems_too(self, app: FastAPI) -> None:
        with served(app) as client:
            missing, wrong = client.get("/nowhere"), client.delete("/sent")
            refused, unchanged = client.get("/refused"), client.get("/unchanged")
            unreadable = client.post("/sent", content=b'{"amount":' * 100_000)

        assert (missing.status_code, missing.json()["title"]) == (404, "Not Found")
        assert (wrong.status_code, wrong.headers["Allow"]) == (405, "POST")
        assert (refused.status_code, refused.headers["X-Tea"]) == (418, "Earl Grey")
        assert json.loads(refused.json()["detail"]) == {"short": "and", "stout": [1]}
        assert (unchanged.status_code, unchanged.headers["ETag"], unchanged.content) == (304, "x", b"")
        assert unreadable.status_code in (400, 422)
        for each in (missing, wrong, refused, unreadable):
            assert each.headers["Content-Type"] == "application/problem+json"
            assert each.json()["correlation_id"] == each.headers["X-Correlation-ID"]


class TestTold:
    def test_an_applications_own_errors_and_texts_are_told_where_it_says_so(self, in_memory: Orders) -> None:
        app = application(in_memory)
        register_exception_handlers(
            app, told={OrderClosedError: 410, ObjectNotFoundError: 404}, type_base="https://example.com/problems/"
        )

        def close(_command: Any) -> None:
            raise OrderClosedError("the order is closed")

        with served(app) as client:
            missing = client.post("/orders/nobody/ship").json()
            in_memory.in_command = close
            closed = client.post("/orders/a").json()

        assert missing["type"] == "https://example.com/problems/not-found"
        assert missing["detail"] == "there is no Order with identity 'nobody'"
        del closed["correlation_id"]
        assert closed == {"type": "about:blank", "title": "Gone", "status": 410, "detail": "the order is closed"}

    @pytest.mark.parametrize("status", [200, 399, 600])
    def test_a_status_that_is_no_errors_is_refused(self, status: int) -> None:
        with pytest.raises(ConfigurationError, match=f"OrderClosedError: {status}"):
            register_exception_handlers(FastAPI(), told={OrderClosedError: status})


def test_the_documentation_shows_what_a_problem_is() -> None:
    app = FastAPI(responses=PROBLEM_RESPONSES)

    @app.post("/sent")
    async def take(sent: Sent) -> None: ...

    answers = app.openapi()["paths"]["/sent"]["post"]["responses"]
    assert set(answers) == {"200", "4XX", "5XX"}
    assert set(answers["4XX"]["content"]) == {"application/problem+json"}


def test_an_installation_without_the_extra_is_told_which_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import subprocess
    import sys

    hide = "import sys; sys.modules['fastapi'] = None\nimport protean.integrations.fastapi"
    done = subprocess.run([sys.executable, "-c", hide], capture_output=True, text=True, check=False)
    assert "pip install 'protean[fastapi]'" in done.stderr
