"""Worker queues: each result carries its symbol, and the queue of symbols stays short."""

import queue
import threading

from made_market import HIT, LAST, SYMBOLS, rate, show

from scanrank import ResultFeed, SymbolRanker, Threshold

ranker = SymbolRanker.open("memory://", ruleset="queues", rewards=Threshold(HIT), seed=1)


def work(todo: queue.Queue, done: queue.Queue, day: int) -> None:
    while (symbol := todo.get()) is not None:
        done.put((symbol, rate(symbol, day)))  # was: done.put(rate(symbol, day))


for day in range(LAST + 1):
    todo, done = queue.Queue(maxsize=4), queue.Queue()
    workers = [threading.Thread(target=work, args=(todo, done, day)) for _ in range(4)]
    for worker in workers:
        worker.start()
    order = []
    with ResultFeed(ranker, batch_size=20) as feed:
        n_out = 0
        for symbol in feed.stream(SYMBOLS):
            todo.put(symbol)
            n_out += 1
            while not done.empty():
                feed(*(pair := done.get()))
                order.append(pair[0])
        for _ in workers:
            todo.put(None)
        while len(order) < n_out:
            feed(*(pair := done.get()))
            order.append(pair[0])
show(order)
