"""One file per family of sub-scores, and the windows that they are computed over."""
