"""Tables as people have them, read into aligned arrays: bars and events."""
