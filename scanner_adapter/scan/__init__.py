"""One scan: batches handed out, outcomes taken in, learned from and closed. Start in `scan`."""
