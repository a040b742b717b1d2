"""One file per subject; each holds a router."""
