"""One module per subcommand, named like it, with the click command as `command`. Nothing else needs to know of it."""
