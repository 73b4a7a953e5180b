"""``make demo``: scans made from a template, the picture of their segmentations; and phantoms for tests."""
