"""The shapes of what the service answers: one model per thing, its fields described for OpenAPI.

Times are seconds since 1970 (UTC). Unknown numbers are null, never NaN. The status note comes from
the scanner: `LiveStatus`, as it is stored; what operators ask of it is its `ScanControl`.

    GET    /api/v1/rulesets                                        Rulesets
    GET    /api/v1/rulesets/{ruleset}                              Ruleset
    GET    /api/v1/rulesets/{ruleset}/comparison                   Compared
    GET    /api/v1/rulesets/{ruleset}/symbols/{symbol}             Symbol
    GET    /api/v1/rulesets/{ruleset}/scans?limit=20               Scans
    GET    .../scans/{scan}                                        Scan
    GET    .../scans/{scan}/queue                                  Queue
    GET    .../scans/{scan}/results?after=&limit=50&hits_only=     Results
    GET    .../scans/{scan}/results.csv                            text/csv
    GET    .../scans/{scan}/symbols/{symbol}                       SymbolInScan
    GET    .../scans/{scan}/events?after=POSITION                  text/event-stream
    POST   .../scans/{scan}/stop            StopRequest            202 ScanControl
    PUT    .../scans/{scan}/pins/{symbol}, exclusions/{symbol}     202 ScanControl
    DELETE .../scans/{scan}/pins/{symbol}, exclusions/{symbol}     202 ScanControl
    GET    /api/v1/scanners                                        Scanners
    POST   /api/v1/scanners/{name}/scans                           202 ScannerRun
    POST   /login                           LoginRequest (JSON)    204, sets the session cookie
    POST   /logout                                                 204
    GET    /health, /ready                                         Health, Ready
    every refusal                                                  Problem

Events: `status` (data: Scan; the latest always comes first), `results` (ResultsEvent, one per
journal entry after the start of the stream), `closed` (ClosedEvent; the stream ends, and a client
that comes again gets 204, which stops an EventSource), `disconnected` (DisconnectedEvent; the
next `status` ends it). A symbol in a path is percent-encoded, its slashes too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from bandit.choice.queue import Tier
from scanner_adapter.live.control import ScanControl
from scanner_adapter.live.status import LiveStatus, LiveWeight, NextUp, Reason, TierCount

Time = Annotated[float, Field(description="Seconds since 1970, UTC.", examples=[1795370580.25])]


class Model(BaseModel):
    """Base: what is not named here is refused in requests and absent from answers."""

    model_config = ConfigDict(extra="forbid")


class Problem(Model):
    """A refusal or failure, as RFC 9457 shapes it (`application/problem+json`)."""

    type: str = Field(
        description="Stable identifier of the problem type.", examples=["/problems/name"]
    )
    title: str = Field(description="The problem type in words.")
    status: int = Field(description="HTTP status code.", examples=[404])
    detail: str = Field(description="The value found, the value expected, and how to fix it.")


# -- rulesets --------------------------------------------------------------------------------------


class ScanBrief(Model):
    """A scan in a list."""

    scan_id: str
    started_at: Time
    n_scanned: int
    is_closed: bool
    state: Literal["scanning", "done", "unknown"] = Field(
        description='"unknown": the scanner publishes no status (an older version, or it died '
        "before its first report)."
    )
    mode: str | None
    n_symbols: int | None
    n_hits: float | None
    recall: float | None = Field(description="Estimated share of all high-value results found.")
    stopped: str | None = Field(description="Why it ended early.")
    updated_at: Time | None = Field(description="When the scanner last published its status.")


class RulesetBrief(Model):
    """A ruleset in a list, with its newest scan."""

    name: str
    n_scans: int = Field(description="Scans in the store (kept for 30 days).")
    n_entries: int = Field(description="Of the journal.")
    written_at: Time | None
    newest_scan: ScanBrief | None


class Rulesets(Model):
    """Every ruleset that has a journal, by name."""

    rulesets: list[RulesetBrief]


class ComparedScans(Model):
    """High-value results in the first tenth of the symbols, mean over scans."""

    n_scans: int
    mean: float | None
    low: float | None = Field(description="Of the 95% interval.")
    high: float | None


class Compared(Model):
    """Was prioritising worth it? Prioritised scans compared with those in the given order."""

    prioritised: ComparedScans
    control: ComparedScans
    lift: float | None = Field(description="Ratio of the means; null if unknown.")
    lift_low: float | None = Field(description="Of the 95% interval.")
    lift_high: float | None
    is_randomised: bool = Field(description="Whether a rollout assigned the groups at random.")
    text: str = Field(description="A summary in sentences, one per line.")


class Ruleset(Model):
    """One ruleset: what is stored, and what was learned up to journal `position`."""

    name: str
    n_scans: int
    n_entries: int
    journal_bytes: int
    snapshot_bytes: int
    snapshot_version: int
    snapshot_position: str
    trimmed_position: str = Field(
        description='Retention has deleted entries up to here; "0-0": none.'
    )
    position: str = Field(
        description="Journal position up to which the belief was folded.",
        examples=["1795370580250-0"],
    )
    n_scans_learned: int
    n_reports_learned: int
    confidence: float = Field(description="Of the intervals of the weights.", examples=[0.9])
    weights: Mapping[str, LiveWeight] = Field(
        description="By factor, over the latest reported symbols; empty before the first report."
    )


# -- scans -----------------------------------------------------------------------------------------


class Scans(Model):
    """The latest scans of a ruleset, newest first."""

    scans: list[ScanBrief]


class Scan(Model):
    """One scan; also the data of the event `status`."""

    ruleset: str
    scan_id: str
    started_at: Time
    n_scanned: int
    is_closed: bool
    status: LiveStatus | None = Field(description="Null if its scanner publishes none.")
    control: ScanControl = Field(description="Requests of operators.")


class Queue(Model):
    """What waits, as last published: tiers, the best with reasons, pins and exclusions."""

    updated_at: Time | None
    tiers: Mapping[Tier, TierCount]
    next: Sequence[NextUp]
    pinned: Sequence[str]
    excluded: Sequence[str]


class Result(Model):
    """One outcome from the journal."""

    symbol: str = Field(examples=["AMD"])
    rank: int = Field(description="Position in journal order, from 1.")
    rating: float | None
    reward: float | None = Field(description="0 to 1, judged when it was reported.")
    is_hit: bool = Field(description="High-value, by the current limit.")
    is_signal: bool
    is_error: bool = Field(description="The evaluation failed.")
    is_random: bool
    propensity: float | None = Field(
        description="Probability of being in its batch when it was chosen."
    )
    probability: float | None = Field(description="Expected reward just before the report.")
    position: str = Field(description="Of its journal entry.")
    reported_at: Time


class Results(Model):
    """A page of results, newest first."""

    results: list[Result]
    next: str | None = Field(
        description="Pass this as `after` for the next, older page; null: no more results.",
        examples=["1795370580250-0.49"],
    )
    n_results: int = Field(description="Results of the scan so far.")
    position: str = Field(description="Journal position read up to: `after` of the event stream.")


class SymbolInScan(Model):
    """Why this one: a symbol's place in a scan."""

    symbol: str
    state: Literal["scanned", "waiting"]
    rank: int | None = Field(
        description="Position in the order of reporting; null while in the queue."
    )
    rating: float | None
    reward: float | None
    is_hit: bool | None
    is_error: bool | None
    is_random: bool | None
    propensity: float | None
    probability: float | None
    score: float | None = Field(description="For a symbol in the queue: percentile, 0 to 100.")
    tier: Tier | None
    is_pinned: bool
    reported_at: Time | None
    reasons: Mapping[str, Reason] = Field(
        description="By factor; for a scanned symbol, by the current belief on its context at that "
        "time."
    )
    today: float | None
    constant: float | None = Field(
        description="The same for all symbols in the queue, in log odds."
    )


# -- symbols ---------------------------------------------------------------------------------------


class Track(Model):
    """What a symbol has shown so far, decayed by the clock."""

    last_reward: float | None
    age_days: float | None
    fast_mean: float | None
    slow_mean: float | None
    n_scans: float
    n_hits: float


class PastResult(Model):
    """A symbol's outcome in one scan."""

    scan_id: str
    reported_at: Time
    rating: float | None
    reward: float | None
    is_error: bool
    is_random: bool


class Symbol(Model):
    """A symbol's track record over all scans of a ruleset."""

    symbol: str
    ruleset: str
    track: Track
    history: list[PastResult] = Field(description="Newest first.")
    n_scans_read: int = Field(description="Number of latest scans searched for `history`.")


# -- writing ---------------------------------------------------------------------------------------


class StopRequest(Model):
    """Why the scan should end."""

    reason: str = Field(
        default="asked over HTTP",
        min_length=1,
        max_length=200,
        pattern=r"^[^\x00-\x1f\x7f]+$",
        examples=["enough found for today"],
    )


class LoginRequest(Model):
    """The token, sent once in exchange for a session cookie."""

    token: str = Field(min_length=1, max_length=512, examples=["the-token-of-the-token-file"])


class ScannerBrief(Model):
    """A scanner that may be started."""

    name: str
    ruleset: str
    scanner: str


class ScannerRun(Model):
    """A scan that this server started."""

    scanner: str
    ruleset: str
    scan_id: str
    started_at: Time
    state: Literal["running", "ended"]
    ended_at: Time | None
    exit_code: int | None = Field(description="0: success; negative: killed by that signal.")
    message: str | None = Field(description="Last line of its error output, if it failed.")


class Scanners(Model):
    """Scanners that can be started, and the scans that were, newest first."""

    scanners: list[ScannerBrief]
    runs: list[ScannerRun]
    max_running: int


# -- events and operations -------------------------------------------------------------------------


class ResultsEvent(Model):
    """Data of the event `results`: one journal entry; its high-value results in full."""

    position: str
    n_results: int
    n_errors: int
    hits: list[Result]


class ClosedEvent(Model):
    """Data of the event `closed`: the scan has ended, the stream ends after it."""

    scan_id: str
    at: Time


class DisconnectedEvent(Model):
    """Data of the event `disconnected`: the store does not answer; a `status` event ends it."""

    since: Time
    detail: str


class Health(Model):
    """The process lives."""

    status: Literal["ok"]


class Ready(Model):
    """The store answers."""

    status: Literal["ready"]
    warnings: list[str] = Field(description="What the operator should change in the store.")
