"""The live page: static files, shipped in the wheel."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from starlette.responses import FileResponse
from starlette.staticfiles import StaticFiles

FOLDER = Path(__file__).parent.parent / "static"

router = APIRouter(include_in_schema=False)


@router.get("/")
async def page() -> FileResponse:
    """Serve the page itself."""
    return FileResponse(FOLDER / "index.html", headers={"Cache-Control": "no-cache"})


def static_files() -> StaticFiles:
    """Return the files beside it; a browser asks each time whether they changed."""
    return _Static(directory=FOLDER)


class _Static(StaticFiles):
    def file_response(self, *args: object, **kwargs: object) -> object:  # type: ignore[override]
        response = super().file_response(*args, **kwargs)  # type: ignore[arg-type]
        response.headers["Cache-Control"] = "no-cache"
        return response
