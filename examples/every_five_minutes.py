"""A loop every five minutes with `schedule`; if the vendor is down, only that round ends."""

import schedule
from made_market import HIT, LAST, SYMBOLS, rate, show

from scanrank import SymbolRanker, Threshold

ranker = SymbolRanker.open("memory://", ruleset="minutes", rewards=Threshold(HIT), seed=1)
rounds: list[list[str]] = []


def ask(symbol: str) -> float:
    if len(rounds) == 3 and len(rounds[-1]) >= 60:  # the third round: the vendor goes down
        raise ConnectionError("vendor is down")
    return rate(symbol, len(rounds) - 1)


@schedule.repeat(schedule.every(5).minutes)
def scan() -> None:
    rounds.append([])
    summary = ranker.start_scan(SYMBOLS).run(
        ask, batch_size=20, on_result=lambda symbol, _: rounds[-1].append(symbol)
    )
    print(f"round {len(rounds)}: {summary.n_hits:.0f} hits", summary.stopped or "")


for _ in range(LAST + 1):  # in production: while True: schedule.run_pending(); time.sleep(1)
    schedule.run_all()
show(rounds[-1])
