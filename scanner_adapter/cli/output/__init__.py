"""What commands write: pictures on a terminal, tables, files and messages."""
