"""Two rulesets on one fetch: one order serves both; each learns and has its own stop rule."""

from made_market import LAST, SYMBOLS, rate, show

from scanrank import HitsFound, RankerGroup, Signal, SymbolRanker


def patterns(symbol: str, day: int) -> dict[str, bool]:
    rating = rate(symbol, day)  # one fetch
    return {"strong": rating >= 88.0, "weak": rating <= 8.0}


names = ("strong", "weak")
group = RankerGroup(
    {name: SymbolRanker.open("memory://", ruleset=name, rewards=Signal(), seed=1) for name in names}
)
for day in range(LAST):
    group.start_scan(SYMBOLS).run(lambda symbol: patterns(symbol, day))  # noqa: B023
order: list[str] = []
summaries = group.start_scan(SYMBOLS).run(
    lambda symbol: patterns(symbol, LAST),
    until=dict.fromkeys(names, HitsFound(6)),
    batch_size=20,
    on_result=lambda symbol, _: order.append(symbol),
)
for name, summary in summaries.items():
    print(f"{name}: {summary.n_hits:.0f} hits in {summary.n_scanned} of {summary.n_symbols}")
show(order, [s for s in SYMBOLS if any(patterns(s, LAST).values())])
