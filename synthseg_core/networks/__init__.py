"""Networks: one module per architecture, their configuration in :mod:`synthseg_core.networks.config`."""
