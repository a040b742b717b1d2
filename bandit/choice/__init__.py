"""Which arms come next? One scan over a belief: draw, top k, queue. Start in `open_scan`."""
