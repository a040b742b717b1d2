"""Which settings serve a history best, and is that more than luck? Start in `tune`."""
