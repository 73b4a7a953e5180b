"""Array and tensor operations: resampling, smoothing, components."""
