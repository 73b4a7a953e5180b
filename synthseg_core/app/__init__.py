"""The BIDS App front door; the only room that knows Snakemake."""
