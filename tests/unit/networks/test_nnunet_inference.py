"""Inference in slabs against the plain forward pass of the module, for any shape of network, patch and slab."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from synthseg_core.networks import normed_slabs
from synthseg_core.networks.config import NnUNetConfig
from synthseg_core.networks.nnunet import NnUNet
from synthseg_core.networks.nnunet_inference import NnUNetRunner
from synthseg_core.networks.slabs import SLAB_BYTES, empty_map
from tests.phantoms.nnunet import PLAIN, RESIDUAL


def _net(config: NnUNetConfig, seed: int = 0) -> NnUNet:
    generator = torch.Generator().manual_seed(seed)
    net = NnUNet(config).eval()
    for parameter in net.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.4
    return net


def _by_slabs(net: NnUNet, image: torch.Tensor, slab_bytes: int = SLAB_BYTES) -> tuple[torch.Tensor, list]:
    parts, spans = [], []

    def consume(start: int, stop: int, logits: torch.Tensor) -> None:
        spans.append((start, stop))
        parts.append(logits.clone())

    NnUNetRunner(net, slab_bytes=slab_bytes).run(image, consume)
    return torch.cat(parts, dim=1), spans


@st.composite
def configs(draw) -> NnUNetConfig:
    stages = draw(st.integers(2, 3))

    def each(values, count=stages):
        return tuple(draw(values) for _ in range(count))

    return NnUNetConfig(
        out_channels=draw(st.integers(2, 4)),
        features=each(st.integers(1, 5)),
        kernels=each(st.tuples(*[st.sampled_from([1, 3, 5])] * 3)),
        strides=((1, 1, 1), *each(st.tuples(*[st.integers(1, 2)] * 3), stages - 1)),
        blocks=each(st.integers(1, 2)),
        decoder_convolutions=each(st.integers(1, 2), stages - 1),
        encoder=draw(st.sampled_from(["residual", "plain"])),
        bias=draw(st.booleans()),
    )


@settings(deadline=None, max_examples=30)
@given(configs(), st.tuples(*[st.integers(1, 3)] * 3), st.sampled_from([1, 20_000, SLAB_BYTES]), st.integers(0, 99))
def test_slabs_give_the_numbers_of_the_module(config, size, slab_bytes, seed):
    """Whatever the height of a slab: rows of neighbours and sums over the whole map come out right.

    A norm over a channel with next to no contrast enlarges rounding; how much the plain module loses by it is measured.
    """
    net = _net(config, seed)
    shape = [4 * n * step for n, step in zip(size, config.multiple_voxels, strict=True)]
    image = torch.randn((1, *shape), generator=torch.Generator().manual_seed(seed))
    with torch.inference_mode():
        expected = net(image[None])[0]
        exact = net.double()(image[None].double())[0].float()
    found, spans = _by_slabs(net.float(), image, slab_bytes)
    assert [a for a, _ in spans] == [0, *(b for _, b in spans[:-1])]
    scale, rounding = float(expected.abs().max()), float((expected - exact).abs().max())
    np.testing.assert_allclose(found, exact, atol=max(2e-4 * scale, 10 * rounding))


def test_the_image_is_left_alone():
    image = torch.randn((1, 8, 12, 16), generator=torch.Generator().manual_seed(4))
    before = image.clone()
    _by_slabs(_net(RESIDUAL), image)
    assert torch.equal(image, before)


@pytest.mark.parametrize("config", [RESIDUAL, PLAIN], ids=["residual", "plain"])
def test_one_map_of_the_finest_stage_is_all_that_exists(config, monkeypatch):
    """At the published size each takes 1.6 GB."""
    made = []

    def counted(like, channels, shape):
        made.append((channels, *shape))
        return empty_map(like, channels, shape)

    monkeypatch.setattr(normed_slabs, "empty_map", counted)
    _by_slabs(_net(config), torch.randn((1, 16, 12, 8), generator=torch.Generator().manual_seed(2)), slab_bytes=1)
    assert made.count((config.features[0], 16, 12, 8)) == 1


@pytest.mark.golden
def test_tiles_of_the_stock_networks(reference):
    """One tile through each network and fold of the reference folders, in float32."""
    from synthseg_core.models.nnunet_folder import NnUNetFolder
    from synthseg_core.models.nnunet_import import fold_arrays

    stored = np.load(reference / "siam" / "intermediate" / "network.npz")
    for name in ("resenc18", "resenc5", "plain4"):
        folder = NnUNetFolder.read(reference / "siam" / "models" / name)
        config = folder.network("3d_fullres")
        for fold, checkpoint in folder.checkpoints().items():
            net = NnUNet(config)
            arrays = fold_arrays(checkpoint, config)
            net.load_state_dict({key: torch.from_numpy(array) for key, array in arrays.items()})
            tile = torch.from_numpy(stored[f"{name}_tile"].astype(np.float32))
            found, _ = _by_slabs(net, tile.reshape(1, *tile.shape[-3:]))
            expected = stored[f"{name}_fold_{fold}"]
            np.testing.assert_allclose(
                found[:, ::4, ::4, ::4], expected.reshape(found[:, ::4, ::4, ::4].shape), atol=1e-4
            )
