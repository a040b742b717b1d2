"""The one reader of tables: files become data frames, their codes stay text, bad rows get a name.

`NA`, `NULL`, `TRUE`, `1E5` and `005930` are codes of listed companies. pandas' defaults turn them
into missing values, truth values and numbers, so that rows are lost or given to another symbol.
Here the columns of dates and codes are read as text, whatever they hold.
"""

from __future__ import annotations

import csv
import gzip
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NoReturn, TypedDict

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.interchange
from numpy.typing import NDArray

from features.errors import InvalidBarsError
from features.inputs.days import EXAMPLE, Stamps, read_stamps

OnBad = Literal["raise", "skip"]
"""What happens to a row that cannot be used: an error, or it is left out and counted."""


class Reading(TypedDict, total=False):
    """How a table is read: keyword arguments of `Bars.read`, `Events.from_frames` and others."""

    on_bad: OnBad
    tz: str | None


KINDS = (".parquet", ".csv", ".csv.gz")

# What data vendors call the two key columns; compared in lower case, the first one found counts.
DATE_NAMES = (
    "date", "datetime", "timestamp", "time", "day", "t", "ts", "trade_date", "window_start",
    "open_time", "ts_event", "formatted_date",
)  # fmt: skip
SYMBOL_NAMES = (
    "symbol", "ticker", "tickers", "code", "name", "s", "sym", "ts_code", "act_symbol",
    "instrument", "asset",
)  # fmt: skip
# What means "nothing" in a column that holds neither dates nor codes.
_EMPTY = [
    "", "-", "#N/A", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
]  # fmt: skip
FIELDS = ("open", "high", "low", "close", "volume")


class Rows:
    """The rows of a table while they are checked: names the bad ones, or counts and drops them.

    Parameters
    ----------
    table : DataFrame
        In `attrs` it may say where it was read: `source`, and `line`, that of its first row.
    what : str
        What the rows are, for messages: "bars".
    error : type of ValueError
    on_bad : "raise" or "skip"
    """

    def __init__(
        self, table: pd.DataFrame, what: str, error: type[ValueError], on_bad: OnBad = "raise"
    ) -> None:
        if on_bad not in ("raise", "skip"):
            raise error(f"on_bad is {on_bad!r}; expected 'raise' or 'skip'")
        self.table, self.what, self._error, self._on_bad = table, what, error, on_bad
        self.good = np.ones(len(table), bool)
        self.skipped: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def refuse(self, why: str, bad: NDArray[np.bool_], say: Callable[[int], str]) -> None:
        """Raise for the first bad row, or drop all of them.

        Parameters
        ----------
        why : str
            The kind of fault, for the count.
        bad : ndarray of bool, shape (n_rows,)
        say : callable
            Returns what is wrong with a row and what was expected.
        """
        rows = np.flatnonzero(bad & self.good)
        if not rows.size:
            return
        text = say(int(rows[0]))
        first = f"{self.at(int(rows[0]))}{'' if text.startswith('has ') else ':'} {text}"
        if self._on_bad == "raise":
            more = f" ({rows.size} such rows)" if rows.size > 1 else ""
            self.fail(f"{first}{more}; correct it, or leave bad rows out with {self._way_out}")
        self.skipped[why] += rows.size
        self._first.setdefault(why, first)
        self.good[rows] = False

    def fail(self, message: str) -> NoReturn:
        """Raise the error of this table, with the file in front where there is one."""
        source = self.table.attrs.get("source")
        raise self._error(f"{source}: {message}" if source else message)

    def at(self, row: int) -> str:
        """Return the name of a row: its line in the file, or its number from 0."""
        line = self.table.attrs.get("line")
        return f"line {row + line} of {self.what}" if line else f"row {row} of {self.what}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out, one text for each kind of fault."""
        return tuple(
            f"{n} bad row{'s' * (n > 1)} left out ({why}), the first: {self._first[why]}"
            for why, n in self.skipped.items()
        )

    @property
    def _way_out(self) -> str:
        return "--skip-bad-rows" if self.table.attrs.get("source") else "on_bad='skip'"

    def stamps(self, column: str = "date", *, tz: str | None = None) -> Stamps:
        """Read the stamps of a column; refuses rows without one, or with one that is no date."""
        found = read_stamps(self.table[column], tz=tz)
        example = EXAMPLE if column == "date" else f"{EXAMPLE}T10:00"
        bad = np.zeros(len(self.table), bool)
        bad[list(found.problems)] = True

        def say(row: int) -> str:
            if found.problems[row] == "is missing":
                return f"has no {column}; expected one {example}"
            value = self.table[column].iloc[row]
            return f"the {column} {value!r} {found.problems[row]}; expected one {example}"

        self.refuse(f"no {column}", bad, say)
        return found

    def codes(self, column: str = "symbol") -> tuple[NDArray[np.intp], list[str]]:
        """Return the place of each row's code among the names, -1 = none, and the names, sorted.

        Blanks around a code are stripped. Codes that are then the same are a clash: refused.
        """
        place, index = pd.factorize(self.table[column])
        values = index.tolist()  # once: an Arrow index makes each value anew whenever it is asked
        texts = [_code(value) for value in values]
        wrong = np.array([text is None for text in [*texts, None]])
        value_of = dict(enumerate(values))
        self.refuse(
            "no symbol",
            wrong[place],
            lambda row: (
                "has no symbol; add it (pandas reads the code NA as missing unless "
                "keep_default_na=False)"
                if place[row] < 0 or str(value_of[place[row]]).strip() == ""
                else f"the symbol {value_of[place[row]]!r} is not a string, and the original text "
                "is lost; read the column as text (dtype=str)"
            ),
        )
        raw: dict[str, object] = {}
        for text, value in zip(texts, values, strict=True):
            if text is not None and raw.setdefault(text, value) is not value:
                self.fail(
                    f"the symbols {raw[text]!r} and {value!r} differ only in blanks; spell them "
                    "the same way"
                )
        names = sorted(raw)
        number = {name: k for k, name in enumerate(names)}
        own = np.array([*(-1 if t is None else number[t] for t in texts), -1], np.intp)
        return own[place], names

    def numbers(self, column: str) -> NDArray[np.float64]:
        """Return a column as float64, NaN where it is empty; refuse text that is not a number."""
        values = self.table[column]
        if values.dtype.kind in "fiu" and isinstance(values.dtype, np.dtype):
            return values.to_numpy(np.float64)
        found = pd.to_numeric(values.astype(object), errors="coerce")
        empty = values.isna() | values.astype(str).str.strip().eq("")
        self.refuse(
            f"{column} is not a number",
            (found.isna() & ~empty).to_numpy(bool),
            lambda row: (
                f"{column} of {self.table['symbol'].iloc[row]} on "
                f"{self.table['date'].iloc[row]} is {values.iloc[row]!r}; expected a number"
            ),
        )
        return found.to_numpy(dtype=np.float64, na_value=np.nan)


def as_pandas(frame: object, *, what: str = "bars") -> pd.DataFrame:
    """Return the frame as pandas; another library's through Arrow or the interchange protocol.

    Raises
    ------
    InvalidBarsError
        If the object is no data frame.
    """
    if isinstance(frame, pd.DataFrame):
        return frame
    if hasattr(frame, "__arrow_c_stream__"):
        return pd.DataFrame(pa.table(frame).to_pandas())
    if hasattr(frame, "__dataframe__"):  # pandas' own reader of this protocol is deprecated
        return pd.DataFrame(pa.interchange.from_dataframe(frame).to_pandas())
    raise InvalidBarsError(
        f"{what} are a {type(frame).__name__}; expected a pandas or polars data frame with the "
        f"columns date, symbol, {', '.join(FIELDS)}"
    )


@lru_cache(maxsize=4096, typed=True)  # a snapshot of a market repeats its few names
def plain_name(name: object) -> str:
    """Return a column's name in lower case, without what vendors put around it.

    Examples
    --------
    >>> [plain_name(name) for name in ("Adj Close", "1. open", "<VOL>")]
    ['adj_close', 'open', 'vol']
    """
    text = re.sub(r"^\d+\.\s+", "", str(name).strip().strip("<>").lower())
    return re.sub(r"[\s_]+", "_", text)


def find_columns(table: pd.DataFrame, names: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return which column holds each thing: the first of its names that is there, if any is."""
    found = {
        name: next((own for own in known if own in table), "") for name, known in names.items()
    }
    return {name: own for name, own in found.items() if own}


def lacking(table: pd.DataFrame, what: str, missing: Sequence[str], hint: str) -> str:
    """Return the message for a table without some columns."""
    source = f"{table.attrs['source']}: " if "source" in table.attrs else ""
    met = ", ".join(map(str, table.columns[:12]))
    return f"{source}missing columns in {what}: {', '.join(missing)}; got {met}; {hint}"


def read_table(
    path: Path, *, what: str = "bars", error: type[ValueError] = InvalidBarsError
) -> pd.DataFrame:
    """Read a `.parquet`, `.csv` or `.csv.gz` file; codes and dates stay text.

    Parameters
    ----------
    what, error : str and type of ValueError
        What the file should hold, and what to raise if it is missing, of another kind, or
        unreadable as its ending says.
    """
    kinds = f"{', '.join(KINDS[:-1])} or {KINDS[-1]}"
    if not path.is_file():
        raise error(f"no file {path}; expected {what} as {kinds}")
    kind = kind_of(path)
    if kind is None:
        raise error(f"{path} ends in {path.suffix.lower() or 'nothing'}; expected {kinds}")
    try:
        table = pd.read_parquet(path) if kind == ".parquet" else _read_csv(path)
    except (ValueError, OSError, EOFError, csv.Error) as err:
        raise error(f"{path} cannot be read as {kind}: {err}") from err
    table.attrs["source"] = str(path)
    return table


def kind_of(path: Path) -> str | None:
    """Return the ending by which a file can be read, None if it is of another kind."""
    return next((kind for kind in KINDS if path.name.lower().endswith(kind)), None)


def _read_csv(path: Path) -> pd.DataFrame:
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    with opened(path, "rt", encoding="utf-8-sig", newline="") as lines:
        head = list(islice(lines, 3))
    if not head:
        raise ValueError("the file is empty")
    separator = max(",;\t", key=head[0].count)
    rows = list(csv.reader(head, delimiter=separator))
    further: dict[str, Any] = {"sep": separator, "decimal": "," if separator == ";" else "."}
    if _has_two_levels(rows):
        return _read_two_levels(path, rows, further)
    names = [name or f"Unnamed: {k}" for k, name in enumerate(rows[0])]
    twice = next((name for name, n in Counter(names).items() if n > 1), None)
    if twice is not None:
        raise ValueError(f"two columns are named {twice!r}; keep one")
    keys = {
        name
        for name in names
        if plain_name(name) in (*DATE_NAMES, *SYMBOL_NAMES) or name == "Unnamed: 0"
    }
    empty = {name: _EMPTY for name in names if name not in keys}
    table: pd.DataFrame = pd.read_csv(
        path, dtype=dict.fromkeys(keys, str), na_values=empty, keep_default_na=False, header=0,
        names=names, index_col=False, encoding="utf-8-sig", **further,
    )  # fmt: skip
    table.attrs["line"] = 2
    return table


def _has_two_levels(rows: list[list[str]]) -> bool:
    """Whether the second line is a header too, as of a yfinance download saved as it is."""
    if len(rows) < 2:
        return False
    first, second = ([plain_name(cell) for cell in row] for row in rows[:2])
    if {first[0], second[0]} == {"price", "ticker"} or set(FIELDS) <= set(second):
        return True
    # Without the index the names of the levels are gone: nothing stands below the date.
    date = next((k for k, cell in enumerate(first) if cell in DATE_NAMES), None)
    is_long = bool(set(first) & set(SYMBOL_NAMES))
    is_blank = date is not None and second[date : date + 1] == [""]
    if is_blank and not is_long and set(FIELDS) <= set(first):
        return True
    filled = [cell for cell in second if cell]
    is_text = not any(re.match(r"^[+-]?[\d.]", cell) for cell in filled)
    return set(FIELDS) <= set(first) and len(filled) >= len(FIELDS) and is_text


def _read_two_levels(path: Path, rows: list[list[str]], further: dict[str, Any]) -> pd.DataFrame:
    n_header = 2
    if len(rows) > 2 and not any(rows[2][1:]):  # the name of the index stands in its own line
        n_header = 3
    width = len(rows[0])
    keys = [k for k in range(width) if not set(FIELDS) & {plain_name(row[k]) for row in rows[:2]}]
    table: pd.DataFrame = pd.read_csv(
        path, header=None, skiprows=n_header, dtype=dict.fromkeys(keys, str), names=range(width),
        index_col=False, encoding="utf-8-sig", **further,
    )  # fmt: skip
    # A column before the dates is the row number that to_csv wrote.
    dates = next((k for k in range(width) if plain_name(rows[0][k]) in DATE_NAMES), 0)
    table = table.set_index(dates).rename_axis(index="date")
    wanted = [k for k in range(width) if k not in keys]
    table = table[wanted]
    table.columns = pd.MultiIndex.from_tuples([(rows[0][k], rows[1][k]) for k in wanted])
    return table


def _code(value: object) -> str | None:
    """Return a symbol's code as text, None if it is none or was turned into something else."""
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        return None
    return value.strip() or None
