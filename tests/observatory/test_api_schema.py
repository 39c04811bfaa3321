"""Whatever is asked, by the API's own description: an answer that fits it, and never a mistake of ours."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.observatory.conftest import Watched

from protean.server.observatory import sessions
from protean.server.observatory.app import Access
from protean.server.observatory.documents import ErrorDocument
from protean.server.observatory.sessions import Role

#: Answers that are no fault of the API: what was asked was wrong, or is not there, or too often.
FINE = {200, 202, 303, 400, 401, 403, 404, 405, 409, 413, 415, 422, 429}
#: Endless by design, and watched elsewhere.
STREAMS = "/(stream|live)$"
#: Texts, not JSON.
PLAIN = {"/metrics"}
#: Requests for each operation. More finds more, at some ms each.
EXAMPLES = int(os.environ.get("SCHEMA_EXAMPLES", "15"))
MODES = list(schemathesis.GenerationMode)
TOKEN = "a-token-that-nobody-guesses-0"


@pytest.mark.parametrize("acting", [True, False], ids=["with a session", "without"])
def test_no_request_of_any_shape_is_a_servers_mistake(
    observe: Callable[..., Watched], monkeypatch: pytest.MonkeyPatch, acting: bool
) -> None:
    monkeypatch.setattr(sessions.Rates.__init__, "__defaults__", (100_000.0, 1.0))  # else most would be too many
    watched = observe(Access({Role.ALL: TOKEN}))
    watched.cluster.bank.open("acc-0")
    headers = {"authorization": f"Bearer {TOKEN}"}
    document = watched.client.get("/api/openapi.json", headers=headers).json()
    schema = schemathesis.openapi.from_dict(document).exclude(path_regex=STREAMS)
    client = httpx.Client(base_url=watched.url, timeout=30.0)
    if acting:
        page = client.get(f"/?token={TOKEN}", follow_redirects=True).text
        secret = re.search(r'name="csrf" content="([^"]+)"', page)
        assert secret is not None
        client.headers.update({"origin": watched.url, "x-csrf-token": secret[1]})
    answered: dict[str, set[int]] = defaultdict(set)

    for result in schema.get_all_operations():
        operation = result.ok()
        cases: list[Any] = [operation.as_strategy(generation_mode=mode) for mode in MODES]

        @settings(
            max_examples=EXAMPLES,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=st.one_of(cases))
        def ask(case: Any) -> None:
            sent = case.as_transport_kwargs(base_url=watched.url)
            answer = client.request(
                sent["method"],
                sent["url"],
                params=sent.get("params"),
                headers={name: value for name, value in dict(sent.get("headers") or {}).items() if value.isascii()},
                json=sent.get("json"),
            )
            assert answer.status_code in FINE, (case.as_curl_command(), answer.text)
            if answer.status_code in (200, 202) and case.operation.path not in PLAIN:
                case.operation.validate_response(answer)
            elif answer.status_code not in (200, 202, 404, 405):  # of what is no address, nothing is said
                ErrorDocument.model_validate_json(answer.content)
            answered[case.operation.label].add(answer.status_code)
            if not acting:
                assert answer.status_code not in (200, 202), case.as_curl_command()

        ask()
    client.close()
    assert set(answered) == {
        f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods
    } - {"GET /stream", "GET /live"}
    if acting:
        assert not {code for codes in answered.values() for code in codes} & {401, 403, 429}
