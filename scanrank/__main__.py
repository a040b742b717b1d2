"""`python -m scanrank`: the command line where no script is on the path."""

from scanner_adapter.cli.app import main

main()
