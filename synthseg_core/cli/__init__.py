"""Command line: one module per subcommand, each parses, calls the core, writes."""
