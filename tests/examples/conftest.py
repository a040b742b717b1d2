"""The stand-ins of vendors are no tests, and need the examples beside them."""

collect_ignore_glob = ["stand_ins/*"]
