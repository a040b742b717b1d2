"""The application: routes, the guard before them, and every error as a problem."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from bandit.errors import InvalidInputError, StoreError
from bandit.stores import Store
from scanner_adapter.errors import InvalidNoteError
from scanner_adapter.live.notify import Notifier
from scanner_adapter.service import problems
from scanner_adapter.service.context import Service
from scanner_adapter.service.guard.guard import Guard
from scanner_adapter.service.guard.headers import AnswerHeaders
from scanner_adapter.service.problems import Kind, ProblemError, problem_response
from scanner_adapter.service.routes import (
    events,
    login,
    operations,
    page,
    rulesets,
    scanners,
    scans,
    steering,
)
from scanner_adapter.service.settings import ServiceSettings
from scanner_adapter.service.watching.ended import announce

log = logging.getLogger("scanrank.service")


def create_app(settings: ServiceSettings, store: Store | None = None) -> FastAPI:
    """Return the application of one server.

    Parameters
    ----------
    store : Store, optional
        One that is open already, as tests have it; by default that of the settings.
    """
    service = Service(settings, store)
    notifier = Notifier(settings.notify, "scanrank") if settings.notify else None

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        page_url = settings.page or f"http://{settings.host}:{settings.port}"
        if notifier is None:
            yield
        else:
            task = asyncio.create_task(announce(service.access, notifier, page_url))
            yield
            task.cancel()
            await asyncio.to_thread(notifier.close)
        await service.close()

    app = FastAPI(
        title="scanrank", version=version("scanrank"), lifespan=lifespan,
        description="Results and control of running scans.",
        docs_url=None, redoc_url=None,  # FastAPI's pages load scripts from other sites
        redirect_slashes=False,  # one address per thing
    )  # fmt: skip
    app.state.service = service
    describe = app.openapi
    app.openapi = lambda: problems.declare_problems(describe())  # type: ignore[method-assign]
    for module in (events, scans, rulesets, steering, scanners, operations, login, page):
        app.include_router(module.router)
    app.mount("/static", page.static_files(), name="static")
    # The last one added is the outermost.
    app.add_middleware(
        Guard,
        host_names=settings.host_names,
        sessions=service.sessions,
        rate=service.rate,
        trusted_proxies=frozenset(settings.trusted_proxies),
    )
    app.add_middleware(AnswerHeaders, metrics=service.metrics)
    _answer_errors(app)
    return app


def _answer_errors(app: FastAPI) -> None:
    async def answer(request: Request, error: Exception) -> Response:
        return problem_response(_problem_of(request, error), request.scope)

    for kind in (
        ProblemError, StoreError, InvalidNoteError, InvalidInputError, RequestValidationError,
        HTTPException, Exception,
    ):  # fmt: skip
        app.add_exception_handler(kind, answer)


def _problem_of(request: Request, error: Exception) -> ProblemError:
    match error:
        case ProblemError():
            return error
        case StoreError():
            return problems.of_store(error)
        case InvalidNoteError():
            return ProblemError(problems.STORE_UNREADABLE, str(error))
        case InvalidInputError():
            return ProblemError(problems.INVALID, str(error))
        case RequestValidationError():
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            is_json = first["type"] != "json_invalid"
            # A body's value is left out: it may be a token.
            met = "" if first["loc"][0] == "body" else f" {str(first['input'])[:80]!r}"
            return ProblemError(
                problems.INVALID if is_json else problems.MALFORMED,
                f"{where}{met}: {first['msg']}",
            )
        case HTTPException(status_code=status):
            kinds = {400: problems.MALFORMED, 404: problems.NOT_FOUND, 405: problems.METHOD}
            kind = kinds.get(status, Kind("http", status, str(error.detail)))
            detail = f"{request.method} {request.url.path[:120]!r}: {error.detail}"
            return ProblemError(kind, detail, error.headers)
    # The server logs the traceback; the caller learns nothing about our internals.
    detail = f"{type(error).__name__}; see the server log"
    return ProblemError(problems.DEFECT, detail)
