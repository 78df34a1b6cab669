"""What commands print: results and plans as tables for a terminal, a pipe or a file."""
