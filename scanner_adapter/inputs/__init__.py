"""What a user hands over, read once: bars, events and context before a scan, outcomes after it."""
