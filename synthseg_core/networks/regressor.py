"""Quality-control regressor: Dice of groups of structures from their one-hot maps (Billot et al., PNAS 2023)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from synthseg_core.networks.config import RegressorConfig
from synthseg_core.networks.unet import NORM_EPSILON, NORM_MOMENTUM


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut convolution, then batch norm and pooling."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.conv0 = nn.Conv3d(in_channels, out_channels, kernel_size, padding="same")
        self.conv1 = nn.Conv3d(out_channels, out_channels, kernel_size, padding="same")
        self.shortcut = nn.Conv3d(in_channels, out_channels, kernel_size, padding="same")
        self.norm = nn.BatchNorm3d(out_channels, eps=NORM_EPSILON, momentum=NORM_MOMENTUM)

    def forward(self, x: Tensor) -> Tensor:
        """Return features at half the resolution."""
        straight = self.conv1(functional.relu(self.conv0(x)))
        joined = functional.relu(functional.relu(self.shortcut(x)) + straight)
        return functional.max_pool3d(self.norm(joined), 2)


class Regressor(nn.Module):
    """Residual encoder whose last features are averaged over space."""

    def __init__(self, config: RegressorConfig) -> None:
        super().__init__()
        self.config = config
        widths = [config.width(level) for level in range(config.levels)]
        inputs = [config.in_channels, *widths[:-1]]
        self.down = nn.ModuleList(ResidualBlock(a, b, config.kernel_size) for a, b in zip(inputs, widths, strict=True))
        self.final = nn.ModuleList(
            nn.Conv3d(a, config.out_channels, config.kernel_size, padding="same")
            for a in (widths[-1], config.out_channels)
        )

    def forward(self, groups: Tensor) -> Tensor:
        """Return scores.

        Parameters
        ----------
        groups : (B, C, I, J, K)
            One-hot map of the groups of structures, background first.

        Returns
        -------
        (B, N)
            Predicted Dice per group, not clipped; the background's is meaningless.
        """
        x = block_means(groups, self.config.pooling) if self.config.pooling > 1 else groups
        for block in self.down:
            x = block(x)
        for final in self.final:
            x = functional.relu(final(x))
        return x.mean(dim=(2, 3, 4))


def block_means(x: Tensor, edge: int) -> Tensor:
    """Return the means of blocks of voxels, (B, C, I', J', K'), channels last in memory.

    One axis after the other: ten times as fast as average pooling where channels lie last.

    Parameters
    ----------
    x : (B, C, I, J, K)
        Edges divisible by ``edge``.
    edge
        Of the blocks, voxels.
    """
    b, c, i, j, k = x.shape
    last = x.movedim(1, -1)
    rows = last.reshape(b, i // edge, edge, j * k * c).sum(2)
    columns = rows.reshape(b, i // edge, j // edge, edge, k * c).sum(3)
    return columns.reshape(b, i // edge, j // edge, k // edge, edge, c).sum(4).div(edge**3).movedim(-1, 1)
