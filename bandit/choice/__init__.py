"""Which arms come next? One scan over a belief: draw, top k, queue, propensity. Start in `open_scan`."""
