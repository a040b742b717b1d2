"""A thread pool: pass the executor to `run`; only two lines are scanrank's."""

from concurrent.futures import ThreadPoolExecutor

from made_market import HIT, LAST, SYMBOLS, rate, show

from scanrank import SymbolRanker, Threshold

ranker = SymbolRanker.open("memory://", ruleset="threads", rewards=Threshold(HIT), seed=1)
with ThreadPoolExecutor(4) as pool:
    for day in range(LAST + 1):
        order: list[str] = []
        summary = ranker.start_scan(SYMBOLS).run(
            lambda symbol: rate(symbol, day),  # noqa: B023
            executor=pool,
            on_result=lambda symbol, _: order.append(symbol),  # noqa: B023
        )
show(order)
