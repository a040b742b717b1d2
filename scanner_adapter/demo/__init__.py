"""The demonstration: `scanrank demo`. Start in `run`."""
