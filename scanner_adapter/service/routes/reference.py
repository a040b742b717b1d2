"""`/docs`: the OpenAPI description as a page, without scripts and without other sites."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

router = APIRouter(include_in_schema=False)

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>scanrank: HTTP reference</title>
<link rel="icon" href="/static/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/static/css/base.css">
<link rel="stylesheet" href="/static/css/reference.css">
</head>
<body>
<main>
<h1>HTTP reference</h1>
<p><a href="/">Live page</a> · <a href="/openapi.json">openapi.json</a> ·
<a href="/metrics">metrics</a></p>
{operations}
<h2>Refusals</h2>
<p>Every refusal is <code>application/problem+json</code>: type, title, status, and one sentence of
detail.</p>
</main>
</body>
</html>
"""


@router.get("/docs")
async def reference(request: Request) -> HTMLResponse:
    """Show every operation with its parameters and answers."""
    schema: dict[str, Any] = request.app.openapi()
    operations = "\n".join(
        part
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
        for part in _operation(method.upper(), path, operation)
    )
    return HTMLResponse(_PAGE.format(operations=operations))


def _operation(method: str, path: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"<h2><code>{method} {escape(path)}</code></h2>"
    yield f"<p>{escape(operation['summary'])}. {escape(operation.get('description', ''))}</p>"
    rows = list(operation.get("parameters", ()))
    if rows or "requestBody" in operation:
        yield "<ul>"
        for row in rows:
            needed = "" if row.get("required") else ", optional"
            text = escape(row.get("description", ""))
            text = f": {text}" if text else ""
            yield f"<li><code>{escape(row['name'])}</code> ({row['in']}{needed}){text}</li>"
        if "requestBody" in operation:
            yield f"<li>body: {_shape(operation['requestBody']['content'])}</li>"
        yield "</ul>"
    good = {code: said for code, said in operation["responses"].items() if code < "300"}
    answers = (
        f"{code}: {_shape(said.get('content', {})) or escape(said['description'].rstrip('.'))}"
        for code, said in good.items()
    )
    yield f"<p>Answers {'; '.join(answers)}.</p>"


def _shape(content: dict[str, Any]) -> str:
    """Name the model of a body, or its media type."""
    for media_type, body in content.items():
        schema = body.get("schema", {})
        for part in (schema, *schema.get("anyOf", ())):
            if "$ref" in part:
                return f"<code>{escape(part['$ref'].rpartition('/')[2])}</code>"
        return f"<code>{escape(media_type)}</code>"
    return ""
