"""Datasets: names, search, the scan table, what describes a derivative dataset."""
