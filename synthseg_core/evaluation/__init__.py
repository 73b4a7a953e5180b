"""How good a segmentation is: overlap with true labels, validation of models, choice of the best of several."""
