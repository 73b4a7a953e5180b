"""What any program needs and that knows nothing of brains: files written whole, tables, settings, signals, time."""
