"""asyncio: a scanner keeps its own semaphore and goes batch by batch."""

import asyncio

from made_market import HIT, LAST, SYMBOLS, rate, show

from scanrank import SymbolRanker, Threshold


async def scan_one(symbol: str, day: int, places: asyncio.Semaphore) -> float:
    async with places:  # the vendor's limit
        await asyncio.sleep(0.0005)
        return rate(symbol, day, 0.0)


async def main() -> None:
    ranker = SymbolRanker.open("memory://", ruleset="asyncio", rewards=Threshold(HIT), seed=1)
    places = asyncio.Semaphore(8)
    for day in range(LAST + 1):
        order: list[str] = []
        with ranker.start_scan(SYMBOLS) as scan:
            async for batch in scan.abatches(20):
                results = await asyncio.gather(*(scan_one(s, day, places) for s in batch))
                scan.report(dict(zip(batch, results, strict=True)))
                order += batch
    show(order)


asyncio.run(main())
