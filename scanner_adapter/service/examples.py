"""One example of every answer, for `/openapi.json`; a test checks each against its model."""

from __future__ import annotations

from typing import Any

from scanner_adapter.service.problems import MEDIA_TYPE

_AT = 1795370580.25
_POSITION = "1795370580250-0"
_SCAN = "0f3cc4a1b2d34e5f8a9b0c1d2e3f4a5b"
_REASONS = {"historical": {"prior": 0.32, "learned": 0.41}}
_TIERS = {
    "high": {"waiting": 1201, "scanned": 300},
    "medium": {"waiting": 1499, "scanned": 1},
    "low": {"waiting": 1996, "scanned": 3},
}
_WAITING = {
    "symbol": "NVDA", "score": 99.6, "tier": "high", "probability": 0.41, "is_pinned": False,
    "reasons": _REASONS, "today": 0.12,
}  # fmt: skip
_RESULT = {
    "symbol": "AMD", "rank": 7, "rating": 9.5, "reward": 1.0, "is_hit": True, "is_signal": True,
    "is_error": False, "is_random": False, "propensity": 0.93, "probability": 0.38,
    "position": _POSITION, "reported_at": _AT,
}  # fmt: skip
_WISHES = {
    "stop": {"reason": "enough for today", "at": _AT}, "pinned": ["NVDA"], "excluded": ["GME"],
}  # fmt: skip
_STATUS = {
    "format": 1, "scan_id": _SCAN, "ruleset": "breakout", "mode": "on", "state": "scanning",
    "stopped": None, "started_at": _AT - 10.0, "updated_at": _AT, "scan_time": 20779.9,
    "workers": 4, "n_symbols": 5000, "n_scanned": 304, "n_errors": 1, "n_hits": 38.0,
    "rate_per_s": 30.4, "target_recall": 0.95, "eta_s": 41.0,
    "estimate": {
        "recall": 0.93, "low": 0.84, "high": 1.0, "hits_found": 38.0, "hits_remaining": 3.0,
        "remaining_low": 0.0, "remaining_high": 7.0, "confidence": 0.95,
    },
    "tiers": _TIERS, "hit_rule": "top:0.05", "hit_limit": 8.25,
    "weights": {"historical": {"prior": 0.4, "learned": 0.52, "low": 0.45, "high": 0.58}},
    "next": [_WAITING],
    "newest_hits": [
        {"symbol": "AMD", "rating": 9.5, "signal": "Buy", "rank": 7, "at": _AT,
         "is_random": False},
    ],
    "curve": [[50, 21.0], [304, 38.0]], "pinned": ["NVDA"], "excluded": ["GME"], "failure": None,
}  # fmt: skip
_BRIEF = {
    "scan_id": _SCAN, "started_at": _AT - 10.0, "n_scanned": 304, "is_closed": False,
    "state": "scanning", "mode": "on", "n_symbols": 5000, "n_hits": 38.0, "stopped": None,
    "updated_at": _AT,
}  # fmt: skip
_RUN = {
    "scanner": "breakout", "ruleset": "breakout", "scan_id": _SCAN, "started_at": _AT,
    "state": "running", "ended_at": None, "exit_code": None, "message": None,
}  # fmt: skip

EXAMPLES: dict[str, Any] = {  # by the name of the model
    "Rulesets": {
        "rulesets": [
            {"name": "breakout", "n_scans": 21, "n_entries": 640, "written_at": _AT,
             "newest_scan": _BRIEF},
        ]
    },
    "Ruleset": {
        "name": "breakout", "n_scans": 21, "n_entries": 640, "journal_bytes": 7340032,
        "snapshot_bytes": 524288, "snapshot_version": 20, "snapshot_position": "1795284180250-0",
        "trimmed_position": "0-0", "position": _POSITION, "n_scans_learned": 20,
        "n_reports_learned": 60304, "confidence": 0.9, "weights": _STATUS["weights"],
    },
    "Symbol": {
        "symbol": "AMD", "ruleset": "breakout",
        "track": {"last_reward": 1.0, "age_days": 0.2, "fast_mean": 0.71, "slow_mean": 0.33,
                  "n_scans": 12.4, "n_hits": 4.1},
        "history": [
            {"scan_id": _SCAN, "reported_at": _AT, "rating": 9.5, "reward": 1.0,
             "is_error": False, "is_random": False},
        ],
        "n_scans_read": 20,
    },
    "Scans": {"scans": [_BRIEF]},
    "Scan": {
        "ruleset": "breakout", "scan_id": _SCAN, "started_at": _AT - 10.0, "n_scanned": 304,
        "is_closed": False, "status": _STATUS, "wishes": _WISHES | {"stop": None},
    },
    "Queue": {
        "updated_at": _AT, "tiers": _TIERS, "next": [_WAITING], "pinned": ["NVDA"],
        "excluded": ["GME"],
    },
    "Results": {
        "results": [_RESULT], "next": f"{_POSITION}.6", "n_results": 304, "position": _POSITION,
    },
    "SymbolInScan": {
        "symbol": "AMD", "state": "scanned", "rank": 7, "rating": 9.5, "reward": 1.0,
        "is_hit": True, "is_error": False, "is_random": False, "propensity": 0.93,
        "probability": 0.38, "score": None, "tier": None, "is_pinned": False, "reported_at": _AT,
        "reasons": _REASONS, "today": None,
    },
    "Wishes": _WISHES,
    "Scanners": {
        "scanners": [{"name": "breakout", "ruleset": "breakout", "scanner": "breakout"}],
        "runs": [_RUN], "max_running": 2,
    },
    "ScannerRun": _RUN,
    "Health": {"status": "ok"},
    "Ready": {"status": "ready"},
}  # fmt: skip


def finish(openapi: dict[str, Any]) -> dict[str, Any]:
    """Put the examples into an OpenAPI description, and problems under their own media type.

    FastAPI describes every model as `application/json`. Doing it again changes nothing.
    """
    for methods in openapi["paths"].values():
        for operation in methods.values():
            for answer in operation["responses"].values():
                content = answer.get("content", {})
                if MEDIA_TYPE in content and "application/json" in content:
                    content[MEDIA_TYPE] |= content.pop("application/json")
                body = content.get("application/json", {})
                model = body.get("schema", {}).get("$ref", "").rpartition("/")[2]
                if model in EXAMPLES:
                    body["example"] = EXAMPLES[model]
    return openapi
