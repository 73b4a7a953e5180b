"""Commands that take the flags of the reference implementation and write its file names and tables."""
