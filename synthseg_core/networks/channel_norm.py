"""Group norm with a group for every channel, with a gradient that is quick on a CPU.

Measured in bfloat16 with 16 channels of 72 x 88 x 72 voxels, channels last: 298 ms of processor time forward and back
with torch's module, 20 ms here; in float32 81 and 44 ms. Of a training step of ``default_2mm_group`` it was two fifths.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class ChannelNorm3d(nn.GroupNorm):
    """:class:`torch.nn.GroupNorm` with one channel a group.

    On a CPU the gradient is that of batch norm of each sample alone, which is the same function: torch's kernel for it
    reads maps as they lie, channels last, and the one for group norm does not.

    Parameters
    ----------
    channels
        Of the maps.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels)

    def forward(self, input: Tensor) -> Tensor:
        """Return maps (B, C, I, J, K) with mean and variance of every channel of every sample normalised."""
        if input.device.type != "cpu" or not torch.is_grad_enabled() or torch.compiler.is_compiling():
            return super().forward(input)
        return _ChannelNorm.apply(input, self.weight, self.bias, self.eps)


class _ChannelNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        samples, channels = x.shape[:2]
        y, mean, inverse_std = torch.native_group_norm(
            x, weight, bias, samples, channels, x[0, 0].numel(), channels, eps
        )
        ctx.save_for_backward(x, weight, mean, inverse_std)
        ctx.eps = eps
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, weight, mean, inverse_std = ctx.saved_tensors
        parts = [
            torch.ops.aten.native_batch_norm_backward(
                gradient[n : n + 1],
                x[n : n + 1],
                weight,
                None,
                None,
                mean[n],
                inverse_std[n],
                True,
                ctx.eps,
                list(ctx.needs_input_grad[:3]),
            )
            for n in range(len(x))
        ]
        inputs, weights, biases = zip(*parts, strict=True)
        return (
            torch.cat(inputs) if ctx.needs_input_grad[0] else None,
            torch.stack(weights).sum(0) if ctx.needs_input_grad[1] else None,
            torch.stack(biases).sum(0) if ctx.needs_input_grad[2] else None,
            None,
        )
