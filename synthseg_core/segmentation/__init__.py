"""One scan in; label maps, volumes, parcels, scores and their sidecars out."""
