"""Whole scans over an executor or coroutines: when to ask, when to report, when to stop."""
