"""The warm worker: one process that keeps models on the device and runs per-scan commands for thin clients."""
