"""One scan: hand out batches, learn from outcomes, close. Start reading in `scan`."""
