"""Scans and label maps: geometry, reading and writing, header and intensity checks, grids, resampling, planes."""
