"""The application's HTTP API: whatever is sent, the answer is a sentence about it, and never a 500."""

from __future__ import annotations

import http.client
import json
import sys
from dataclasses import dataclass
from typing import Any

import pytest
from tests.cli.conftest import EXAMPLE, eventually
from tests.guide.application import PATIENCE, Application

from protean.cli.demo.children import answers_http, free_port

LETTERS = '"email": "a@b.c", "name": "Ann"'
Answer = tuple[int, Any]


@dataclass
class Api:
    port: int

    def __call__(self, method: str, path: str, body: bytes | str | None = None) -> Answer:
        """The status, and the body read as strictly as a browser does."""
        connection = http.client.HTTPConnection("localhost", self.port, timeout=PATIENCE)
        try:
            sent = body.encode() if isinstance(body, str) else body
            connection.request(method, path, sent, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            read = answer.read().decode("utf-8")
            return answer.status, json.loads(read, parse_constant=pytest.fail) if read else None
        finally:
            connection.close()

    def refused(self, method: str, path: str, body: bytes | str | None = None) -> tuple[int, list[tuple[Any, str]]]:
        status, answer = self(method, path, body)
        assert {"type", "title", "status", "correlation_id"} < set(answer)
        assert answer["status"] == status
        errors = answer.get("errors") or [{"field": None, "detail": answer["detail"]}]
        assert all(set(error) == {"field", "detail"} for error in errors)
        return status, [(error["field"], error["detail"]) for error in errors]


@pytest.fixture(scope="module")
def api(shared: Application) -> Api:
    port = free_port()
    shared.start(sys.executable, "-m", "uvicorn", "my_app.api:app", "--port", str(port))
    eventually(lambda: answers_http(port), PATIENCE, shared.log)
    return Api(port)


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        (f'{{{LETTERS}, "lifetime_spend": NaN}}', "lifetime_spend", "finite"),
        (f'{{{LETTERS}, "lifetime_spend": 1e400}}', "lifetime_spend", "finite"),
        (f'{{{LETTERS}, "lifetime_spend": 1{"0" * 400}}}', "lifetime_spend", "number"),
        ('{"email": "a@b.c", "name": "\\ud800"}', "name", "unicode"),
        (f'{{{LETTERS}, "\\ud800": 1}}', None, "unicode"),
        ('{"email": "a@b.c", "name": "Ann\\u0000"}', "name", ""),
        ('{"email": "a@b.c", "name": "   "}', "name", "at least 1 character"),
        ('{"email": "a@b.c"}', "name", "required"),
        ('{"email": "nobody", "name": "Ann"}', "email", "pattern"),
        (f'{{{LETTERS}, "customer_id": "a/b"}}', "customer_id", "pattern"),
        (f'{{{LETTERS}, "customer_id": ".."}}', "customer_id", "pattern"),
        (f'{{{LETTERS}, "customer_id": "line\\n"}}', "customer_id", "pattern"),
        ("{", None, "JSON"),
        ("[]", None, "dictionary"),
        (None, None, "required"),
    ],
)
def test_a_wrong_request_is_refused_with_its_field_and_the_reason(
    api: Api, body: str | None, field: str | None, said: str
) -> None:
    status, [(named, text)] = api.refused("POST", "/customers", body)

    assert (status, named) == (422, field)
    assert said in text


@pytest.mark.parametrize(
    "body", [b'{"name": "\xff", "email": "a@b.c"}', b'{"a":' * 100_000, b'{"name": 1' + b"0" * 5000 + b"}"]
)
def test_a_body_that_nobody_can_read_is_refused_as_such(api: Api, body: bytes) -> None:
    assert api.refused("POST", "/customers", body) == (400, [(None, "There was an error parsing the body")])


def test_a_second_customer_of_one_identity_is_refused_under_the_name_it_was_sent_by(api: Api) -> None:
    body = f'{{{LETTERS}, "customer_id": "a-b_c.d~e"}}'

    assert api("POST", "/customers", body) == (201, {"customer_id": "a-b_c.d~e"})
    assert api.refused("POST", "/customers", body) == (422, [("customer_id", "is already taken")])
    assert api("PATCH", "/customers/a-b_c.d~e", '{"name": "  Bea "}') == (204, None)
    assert api.refused("PATCH", "/customers/a-b_c.d~e", '{"name": " "}')[0] == 422


def test_what_is_not_there_is_refused_in_the_same_shape(api: Api) -> None:
    assert api.refused("GET", "/customers/nobody")[0] == 404
    assert api.refused("PATCH", "/customers/nobody", '{"name": "Ann"}')[0] == 404
    assert api.refused("GET", "/customers/a/b")[0] == 404
    assert api.refused("DELETE", "/customers/nobody")[0] == 405
    for path in ("/customers/%00", "/customers/%ED%A0%80"):
        assert api.refused("GET", path)[0] == 422


def test_the_documentation_shows_the_shape_and_the_readme_every_status(api: Api) -> None:
    _, document = api("GET", "/openapi.json")
    answers = document["paths"]["/customers"]["post"]["responses"]
    shape = answers["4XX"]["content"]["application/problem+json"]["schema"]["properties"]
    assert {"type", "title", "status", "detail", "errors", "correlation_id"} == set(shape)
    assert "422" not in answers

    readme = (EXAMPLE / "README.md").read_text()
    for status in (400, 404, 409, 422, 503):
        assert f"| {status} |" in readme


def test_it_is_ready_when_it_can_serve(api: Api) -> None:
    assert api("GET", "/readyz") == (200, {"ready": True, "reasons": []})
