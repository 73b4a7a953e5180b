"""Training of segmentation networks on synthetic scans."""
