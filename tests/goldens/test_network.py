"""Networks against stored activations and posteriors of the reference implementation (tolerances: goldens README)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from synthseg_core.labels.table import LabelTable
from synthseg_core.models.loading import LoadedModel, Models, load_models, load_network
from synthseg_core.models.registry import load_card
from synthseg_core.networks.regressor_inference import RegressorRunner
from synthseg_core.networks.unet import UNet
from synthseg_core.networks.unet_inference import UNetRunner
from synthseg_core.segmentation.posteriors import network_posteriors
from synthseg_core.segmentation.quality import raw_quality
from synthseg_core.segmentation.synthseg import answer_like_reference
from tests.phantoms.parcels import parcel_posteriors

pytestmark = [pytest.mark.golden, pytest.mark.weights]

POSTERIOR_ATOL = 5e-5
MARGIN = 1e-4
AGREEMENT, ROBUST_AGREEMENT = 0.999, 0.98
QUALITY_ATOL = 1e-4
STRIDE = 4

CARDS = {"robust": "synthseg-robust-2.0", "v1": "synthseg-1.0"}
CASES = (
    "default",
    "fast",
    "robust",
    "v1",
    "v1_fast",
    "parc",
    "fast_parc",
    "robust_parc",
    "v1_parc",
    "qc",
    "parc_qc",
    "fast_qc",
    "robust_qc",
    "v1_qc",
)


# The same networks in other combinations; "qc" runs every time.
SLOW = ("parc_qc", "fast_qc", "robust_qc", "v1_qc")


@pytest.fixture(scope="module")
def image(goldens: Path) -> np.ndarray:
    """Normalised image (I, J, K) of 64 x 32 x 96 voxels."""
    return np.load(goldens / "network" / "input.npz")["image"].astype(np.float32).squeeze()


@pytest.fixture(scope="module")
def models(reference_weights: Path) -> dict[str, Models]:
    """The three segmentation models, each with both companions."""
    names = ("synthseg-2.0", *CARDS.values())
    return {
        name: load_models(load_card(name), weights=reference_weights, parcellation=True, quality=True) for name in names
    }


def flags_of(case: str) -> set[str]:
    return set(case.split("_"))


def answers(case: str, image: np.ndarray, models: dict[str, Models], stored: np.ndarray):
    """Run what the reference ran for a case; returns (segmentation, parcels or None, raw quality or None).

    Behind the robust chain the later networks get the ``stored`` decision: a single voxel whose best two groups differ
    by 1e-6 flips between implementations, and random networks make a tenth of the parcels of it.
    """
    flags = flags_of(case)
    name = next((card for flag, card in CARDS.items() if flag in flags), "synthseg-2.0")
    loaded = models[name]
    inference = loaded.segmentation.card.inference
    fast, parcels, quality = bool(flags & {"fast", "robust"}), "parc" in flags, "qc" in flags
    companions = [task for task, flag in (("parcellation", parcels), ("quality", quality)) if flag]
    posteriors = network_posteriors(loaded.segmentation, image, flip_average=not fast)
    answer = answer_like_reference(posteriors, inference.posterior_sigma_voxels, companions if fast else ())
    table = loaded.segmentation.card.labels
    assert loaded.parcellation is not None
    assert loaded.quality is not None
    parcel_input, quality_input = (stored, stored) if "robust" in flags else (answer.parcel_map, answer.class_map)
    parcel_map = (
        parcel_posteriors(loaded.parcellation, image, parcel_input, table, blur=not quality) if parcels else None
    )
    raw = raw_quality(loaded.quality, quality_input, table) if quality else None
    return answer.posteriors, parcel_map, raw


def check_posteriors(ours: np.ndarray, golden, prefix: str, *, agreement: float, strict: bool) -> None:
    """Compare posteriors (N, I, J, K) with the stored ones of ``prefix``."""
    assert ours.shape[1:] == golden[f"{prefix}_argmax"].shape
    same = ours.argmax(0) == golden[f"{prefix}_argmax"]
    assert same.mean() >= agreement
    if strict:
        strided = np.moveaxis(ours[:, ::STRIDE, ::STRIDE, ::STRIDE], 0, -1)
        np.testing.assert_allclose(strided, golden[f"{prefix}_strided"], atol=POSTERIOR_ATOL, rtol=0)
        assert same[golden[f"{prefix}_margin"] > MARGIN].all()
        sums = ours.sum(axis=(1, 2, 3), dtype=np.float64)
        np.testing.assert_allclose(sums, golden[f"{prefix}_channel_sums"], rtol=1e-4, atol=1)


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=pytest.mark.slow) if case in SLOW else case for case in CASES]
)
def test_posteriors(case: str, goldens: Path, image: np.ndarray, models: dict[str, Models]) -> None:
    golden = np.load(goldens / "network" / f"{case}.npz")
    index = json.loads((goldens / "network" / "index.json").read_text())["cases"][case]
    segmentation, parcels, raw = answers(case, image, models, golden["segmentation_argmax"])
    robust = "robust" in flags_of(case)
    agreement = ROBUST_AGREEMENT if robust else AGREEMENT
    check_posteriors(segmentation, golden, "segmentation", agreement=agreement, strict=not robust)
    if parcels is not None:
        check_posteriors(parcels, golden, "parcellation", agreement=AGREEMENT, strict=True)
    if raw is not None:
        np.testing.assert_allclose(raw, index["qc_raw"], atol=QUALITY_ATOL, rtol=0)


def test_all_stored_cases_are_tested(goldens: Path) -> None:
    assert set(json.loads((goldens / "network" / "index.json").read_text())["cases"]) == set(CASES)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["whole_head", "wide", "whole_head_v1", "wide_v1"])
def test_quality_scores(case: str, goldens: Path, models: dict[str, Models]) -> None:
    golden = np.load(goldens / "qc" / f"{case}.npz")
    table = LabelTable.builtin("segmentation_1.0" if case.endswith("v1") else "segmentation_2.0")
    quality = models["synthseg-2.0"].quality
    assert quality is not None
    raw = raw_quality(quality, golden["channels"], table)
    np.testing.assert_allclose(raw, golden["qc_raw"], atol=QUALITY_ATOL, rtol=0)


class Activations:
    """Outputs of a U-Net's layers under the reference's names; activation functions belong to the layer before."""

    def __init__(self, net: UNet, prefix: str, image: torch.Tensor) -> None:
        self._outputs: dict[str, torch.Tensor] = {}
        hooks = [module.register_forward_hook(self._keep(name)) for name, module in net.named_modules() if name]
        with torch.inference_mode():
            net(image[None])
        for hook in hooks:
            hook.remove()
        self._prefix = prefix
        self._net = net

    def _keep(self, name: str):
        def hook(_module, _inputs, output) -> None:
            self._outputs[name] = output

        return hook

    def of(self, layer: str) -> torch.Tensor:
        name = layer.removeprefix(f"{self._prefix}_")
        last = len(self._net.down) - 1
        if name.startswith("conv_downarm"):
            level, which = name.split("_")[-2:]
            return functional.elu(self._outputs[f"down.{level}.conv{which}"])
        if name.startswith("conv_uparm"):
            step, which = name.split("_")[-2:]
            return functional.elu(self._outputs[f"up.{int(step) - 5}.conv{which}"])
        if name.startswith("bn_"):
            return self._outputs[f"{name.split('_')[1]}.{name.split('_')[2]}.norm"]
        if name.startswith("maxpool"):
            return functional.max_pool3d(self._outputs[f"down.{name.split('_')[1]}.norm"], 2)
        if name.startswith("up_"):
            step = int(name.split("_")[1]) - 5
            source = f"down.{last}.norm" if step == 0 else f"up.{step - 1}.norm"
            return functional.interpolate(self._outputs[source], scale_factor=2, mode="nearest")
        if name.startswith("merge_"):
            step = int(name.split("_")[1]) - 5
            skip = functional.elu(self._outputs[f"down.{last - 1 - step}.conv1"])
            return torch.cat([skip, self.of(f"{self._prefix}_up_{step + 5}")], dim=1)
        return {"likelihood": lambda x: x, "prediction": lambda x: torch.softmax(x, 1)}[name](self._outputs["head"])


def check_layers(activations: Activations, golden, prefix: str) -> int:
    """Compare every stored layer of ``prefix``; returns how many there were."""
    names = [name for name in golden.files if name.startswith(f"{prefix}_")]
    for name in names:
        ours = activations.of(name)[0]
        step = STRIDE if ours.shape[1] > 8 else 1  # stored with a stride where the first axis is longer than 8
        ours = np.moveaxis(ours[:, ::step, ::step, ::step].numpy(), 0, -1)
        scale = max(1.0, float(np.abs(golden[name]).max()))
        np.testing.assert_allclose(ours, golden[name], atol=1e-3 * scale, rtol=0, err_msg=name)
    return len(names)


def network(reference_weights: Path, card: str, index: int = 0) -> tuple[UNet, str]:
    spec = load_card(card).networks[index]
    net = load_network(spec, reference_weights / load_card(card).weights.file)
    assert isinstance(net, UNet)
    return net, spec.prefix


def one_hot(channels: np.ndarray, count: int) -> torch.Tensor:
    return functional.one_hot(torch.from_numpy(channels).long(), count).permute(3, 0, 1, 2).float()


def test_layers_of_2_0(goldens: Path, reference_weights: Path, image: np.ndarray) -> None:
    golden = np.load(goldens / "network" / "layers_2.0.npz")
    net, prefix = network(reference_weights, "synthseg-2.0")
    assert check_layers(Activations(net, prefix, torch.from_numpy(image)[None]), golden, prefix) == len(golden.files)


def test_robust_stages_with_stored_decisions(goldens: Path, reference_weights: Path, image: np.ndarray) -> None:
    golden = np.load(goldens / "network" / "layers_robust.npz")
    first, denoised = golden["group_argmax_first"], golden["group_argmax_denoised"]
    x = torch.from_numpy(image)[None]
    inputs = (x, one_hot(first, 5), torch.cat([x, one_hot(denoised, 5)]))
    decided = (first, denoised, None)
    compared = 0
    for index, (source, decision) in enumerate(zip(inputs, decided, strict=True)):
        net, prefix = network(reference_weights, "synthseg-robust-2.0", index)
        activations = Activations(net, prefix, source)
        compared += check_layers(activations, golden, prefix)
        if decision is not None:
            ours = activations.of(f"{prefix}_likelihood")[0].argmax(0).numpy()
            assert (ours == decision).mean() >= AGREEMENT
    assert compared == len(golden.files) - 2


def test_runner_equals_module_on_reference_weights(reference_weights: Path, image: np.ndarray) -> None:
    """The slab-wise path with merged kernels against the plain module, float32, a slab of few rows."""
    net, _ = network(reference_weights, "synthseg-2.0")
    x = torch.from_numpy(image)[None]
    with torch.inference_mode():
        expected = torch.softmax(net(x[None]), 1)[0]
    result = torch.full_like(expected, -1)

    def write(start: int, stop: int, rows: torch.Tensor) -> None:
        result[:, start:stop] = rows

    UNetRunner(net, slab_bytes=20 * 2**20).run(x, write)
    assert float((result - expected).abs().max()) < POSTERIOR_ATOL


def test_quality_model_is_no_segmentation_model(reference_weights: Path, models: dict[str, Models]) -> None:
    quality = models["synthseg-2.0"].quality
    assert isinstance(quality, LoadedModel)
    assert [type(runner) for runner in quality.runners] == [RegressorRunner]
