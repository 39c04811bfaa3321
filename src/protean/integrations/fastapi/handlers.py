"""Answers in the place of exceptions: problems as JSON, and a line in the log for those who must know."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from protean.exceptions import ConfigurationError, InvalidOperationError
from protean.integrations.fastapi.problems import INVALID, MEDIA_TYPE, TYPE_BASE, UNEXPECTED, Catalogue, Problem
from protean.integrations.fastapi.tracing import correlation_of

logger = logging.getLogger(__name__)

#: Where an application keeps its answers, for what happens before a request has reached it.
_ATTRIBUTE = "protean_problems"


class ProblemResponse(JSONResponse):
    """`application/problem+json` in ASCII, so that halves of surrogate pairs can be told of, too."""

    media_type = MEDIA_TYPE

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode()


def register_exception_handlers(
    app: Starlette,
    *,
    told: Mapping[type[Exception], int] | None = None,
    names: Mapping[str, str] | None = None,
    type_base: str = TYPE_BASE,
) -> None:
    """Answer the errors of the domain, of requests that do not fit, and unexpected ones with problems (RFC 9457).

    `told` maps errors to statuses: yours, or protean's for other than its usual one; their texts are told to clients,
    which they otherwise are not. `names` maps names of fields to what the API calls them. `type_base` begins the URI
    of a problem's type. Raises ConfigurationError for a status that is no error's.
    """
    for cls, status in (told or {}).items():
        if not 400 <= status <= 599:
            raise ConfigurationError(
                f"told={{{cls.__name__}: {status}}}: the status of an error is one from 400 to 599"
            )
    answers = Answers(Catalogue(told=told or {}, names=names or {}, type_base=type_base))
    setattr(app.state, _ATTRIBUTE, answers)
    for cls in answers.catalogue.classes:
        app.add_exception_handler(cls, answers.known)
    app.add_exception_handler(HTTPException, answers.refused)
    app.add_exception_handler(RequestValidationError, answers.malformed)
    app.add_exception_handler(Exception, answers.unexpected)


class Answers:
    """The handlers of one application. Coroutines: others would wait for a thread, which may be what is lacking."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue

    async def known(self, request: Request, error: Exception) -> Response:
        """An error that the catalogue knows."""
        problem = self.catalogue.problem_of(error)
        if problem is None:
            raise error
        _say(request, problem, error)
        return self._answer(request, problem)

    async def refused(self, request: Request, error: Exception) -> Response:
        """The framework's or the application's own answer: an unknown path, a body that nobody can read."""
        if not isinstance(error, HTTPException):
            raise error
        if error.status_code < 200 or error.status_code in (204, 205, 304):  # these have no body
            return Response(status_code=error.status_code, headers=error.headers)
        detail: object = error.detail  # FastAPI's may be anything that JSON holds
        text = detail if isinstance(detail, str) else json.dumps(detail, default=str)
        return self._answer(request, Problem(status=error.status_code, detail=text), error.headers)

    async def malformed(self, request: Request, error: Exception) -> Response:
        """Without what was sent, as FastAPI's own answer has it: that may be a secret, or what JSON cannot hold."""
        if not isinstance(error, RequestValidationError):
            raise error
        errors = []
        for each in error.errors():
            where = () if each["type"] == "json_invalid" else each["loc"][1:]
            errors.append((".".join(str(part) for part in where) or None, str(each["msg"])))
        invalid = Problem(status=INVALID.status, name=INVALID.name, title=INVALID.title, errors=tuple(errors))
        return self._answer(request, invalid)

    async def unexpected(self, request: Request, error: Exception) -> Response:
        """Whatever else: no word of it. The server that runs the application logs the traceback, and this the id."""
        _say(request, UNEXPECTED, error)
        return self._answer(request, UNEXPECTED)

    def _answer(self, request: Request, problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
        correlation = correlation_of(request.scope)
        told = dict(headers or {})
        if problem.retry_after is not None:
            told["Retry-After"] = str(problem.retry_after)
        if correlation is not None:  # an answer to the unexpected is given outside of the middleware
            told[correlation.header] = correlation.id
        plain = problem.as_plain(self.catalogue.type_base, None if correlation is None else correlation.id)
        return ProblemResponse(plain, problem.status, told)


async def refusal(request: Request, error: Exception) -> Response:
    """The answer to what was raised before the request has reached the application. Raises what has none."""
    application = request.scope.get("app")
    answers = getattr(application.state, _ATTRIBUTE, None) if isinstance(application, Starlette) else None
    if not isinstance(answers, Answers):
        answers = Answers(Catalogue())
    return await (answers.refused if isinstance(error, HTTPException) else answers.known)(request, error)


def _say(request: Request, problem: Problem, error: Exception) -> None:
    """What operators want to know of: servers that are away, and what is likely to be a mistake in the program."""
    if problem.status < 500 and not isinstance(error, InvalidOperationError):
        return
    correlation = correlation_of(request.scope)
    logger.log(
        logging.ERROR if problem is UNEXPECTED else logging.WARNING,
        "%s %r is answered with %d, correlation id %s: %s",
        request.method,
        request.url.path,
        problem.status,
        None if correlation is None else correlation.id,
        type(error).__name__ if problem is UNEXPECTED else f"{type(error).__name__}: {error}",
        exc_info=error if isinstance(error, InvalidOperationError) else None,
    )
