"""The command line, one file per command. Start in `app`."""
