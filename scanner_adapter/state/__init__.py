"""The journal and the belief folded from it: loading, appending, checking, comparing, exporting."""
