"""The service against its own OpenAPI: generated requests, right and wrong, on every operation.

Most of the generated paths are led to things that exist, so that answers of every kind are seen.
The whole of it, with a table of what was answered::

    python -m pytest -m slow -s tests/property/test_service_openapi.py
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from serving import close_scan, open_scan, report, status_note

from bandit.stores import Store, store_from_url
from scanner_adapter.service.app import create_app
from scanner_adapter.service.settings import ServiceSettings

KNOWN = {"ruleset": ["demo"], "scan": ["s1", "s2"], "symbol": ["S3", "NVDA", "BRK/B"]}
TOKEN = "0123456789abcdefghijklmnopqrstuv"  # noqa: S105


def _store() -> Store:
    store = store_from_url("memory://")
    for scan_id in ("s1", "s2"):
        open_scan(store, scan_id=scan_id)
        report(store, [f"S{i}" for i in range(20)], scan_id=scan_id)
    store.put_status("demo", "s1", status_note("s1"))
    close_scan(store, scan_id="s2")
    return store


def fuzz(n_cases: int) -> Counter[tuple[str, int]]:
    """Send about `n_cases` requests; return what was answered, per operation.

    Every answer must be declared, of the declared type and shape, and no failure of the server.
    """
    import schemathesis
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import (
        content_type_conformance,
        response_headers_conformance,
        response_schema_conformance,
        status_code_conformance,
        unsupported_method,
    )

    checks = [
        not_a_server_error, status_code_conformance, content_type_conformance,
        response_headers_conformance, response_schema_conformance, unsupported_method,
    ]  # fmt: skip
    app = create_app(ServiceSettings(store="memory://", requests_per_s=1e9, token=TOKEN), _store())
    always = {"Host": "localhost", "Authorization": f"Bearer {TOKEN}"}
    schema = schemathesis.openapi.from_asgi("/openapi.json", app, headers=always)
    operations = [found.ok() for found in schema.get_all_operations()]
    seen: Counter[tuple[str, int]] = Counter()
    rng = random.Random(0)

    def send(case: Any) -> None:
        is_stream = case.operation.path.endswith("/events")
        for name in case.path_parameters or {}:
            if name in KNOWN and rng.random() < 0.8:
                # The stream of a scan that goes on has no end.
                known = ["s2"] if is_stream and name == "scan" else KNOWN[name]
                case.path_parameters[name] = rng.choice(known)
        # One in ten without the token, or with a wrong one.
        shown = rng.choice([TOKEN] * 9 + [TOKEN[:-1] + "x"])
        headers = {**always, "Authorization": f"Bearer {shown}"}
        app.state.service.rate.succeeded("testclient")  # else wrong tokens would shut it out
        response = case.call(headers=headers)
        seen[case.operation.label, response.status_code] += 1
        case.validate_response(response, checks=checks, headers=headers)

    modes = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
    takes = {
        operation.label: bool({"parameters", "requestBody"} & operation.definition.raw.keys())
        for operation in operations
    }
    each = max(1, n_cases // (2 * sum(takes.values())))
    for operation in operations:
        for mode in modes if takes[operation.label] else modes[:1]:
            run = settings(
                max_examples=each, deadline=None, database=None, phases=(Phase.generate,),
                suppress_health_check=list(HealthCheck),
            )(seed(0)(given(case=operation.as_strategy(generation_mode=mode))(send)))  # fmt: skip
            run()
    return seen


def test_every_answer_is_declared() -> None:
    seen = fuzz(300)
    assert sum(seen.values()) >= 200
    assert {status for _, status in seen} >= {200, 202, 204, 401, 404, 409, 422}


@pytest.mark.slow
def test_every_answer_is_declared_over_many_cases() -> None:
    seen = fuzz(3_000)
    for (operation, status), n in sorted(seen.items()):
        print(f"{operation:70} {status} {n:5}")
    print(f"{sum(seen.values())} requests, none failed, every answer as declared")
    assert sum(seen.values()) >= 2_500
