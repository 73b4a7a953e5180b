"""Images of one contrast as if they were of another: slices, translators, their training, use and judgement."""
