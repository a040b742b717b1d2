"""Replays of a journal: of what it recorded, off-policy, and bit for bit."""
