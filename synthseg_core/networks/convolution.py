"""One door to 3-D convolution for inference, past a size heuristic that picks a slow kernel for small slabs."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_ONEDNN = torch.backends.mkldnn.is_available()


def conv3d(x: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, int, int] = (0, 0, 0)) -> Tensor:
    """Convolve (1, C, I, J, K) with (O, C, k, k, k), stride 1.

    On the CPU torch decides by C * I * J alone whether oneDNN is used and takes a kernel that is several times slower
    below about 20 000; slabs of few rows fall there, so oneDNN is asked for directly.
    """
    if _ONEDNN and x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_grad_enabled():
        return torch.mkldnn_convolution(x, weight, bias, padding, (1, 1, 1), (1, 1, 1), 1)
    return functional.conv3d(x, weight, bias, padding=padding)
