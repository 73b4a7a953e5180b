"""Read a trained nnU-Net v2 folder: ``plans.json`` and ``dataset.json`` become parts of a card.

Every ``3d_fullres`` configuration with one input channel and a plain or residual U-Net is understood, in the present
form of plans and in that before nnU-Net 2.4, which named the network by its parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthseg_core.errors import InputError, SynthSegError
from synthseg_core.images.affines import triple
from synthseg_core.images.spline import SplineRule
from synthseg_core.labels.table import LabelTable
from synthseg_core.models.nnunet_plan import NnUNetPlan
from synthseg_core.networks.config import NnUNetConfig
from synthseg_core.system.settings import about, read_mapping

CHECKPOINT = "checkpoint_final.pth"
_NORMALISATIONS = {
    "ZScoreNormalization": "zscore",
    "CTNormalization": "ct",
    "RescaleTo01Normalization": "rescale",
    "RGBTo01Normalization": "rgb",
    "NoNormalization": "none",
}
_RESAMPLING = "resample_data_or_seg_to_shape"
_SEPARATION = {None: "auto", False: "never", True: "always"}
# What the network has to be made of, by the end of the name that a plan gives.
_PARTS = {
    "conv_op": ("Conv3d",),
    "norm_op": ("InstanceNorm3d",),
    "nonlin": ("LeakyReLU",),
    "dropout_op": (None,),
    "block": (None, "BasicBlockD"),
}
_SIZES = ("features_per_stage", "kernel_sizes", "strides", "n_conv_per_stage_decoder", "conv_bias", "n_stages")
_KNOWN = {*_PARTS, *_SIZES, "n_blocks_per_stage", "n_conv_per_stage", *(f"{part}_kwargs" for part in _PARTS)}


@dataclass(frozen=True)
class NnUNetFolder:
    """What a folder says without its checkpoints.

    Parameters
    ----------
    path
        The folder.
    plans, dataset
        Content of its two files.
    """

    path: Path
    plans: Mapping[str, Any]
    dataset: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> NnUNetFolder:
        """Read the two files; ``InputError`` if they are not there."""
        remedy = "give the folder that holds plans.json, dataset.json and fold_0"
        plans = read_mapping(path / "plans.json", "plan of nnU-Net", remedy)
        return cls(path, plans, read_mapping(path / "dataset.json", "description of labels", remedy))

    def checkpoints(self) -> dict[int, Path]:
        """Return the checkpoint of each fold, as nnU-Net finds them: ``fold_all`` and unfinished folds do not count."""
        found = {p.parent.name.removeprefix("fold_"): p for p in self.path.glob(f"fold_*/{CHECKPOINT}") if p.is_file()}
        return {int(name): found[name] for name in sorted(filter(str.isdecimal, found), key=int)}

    def configuration(self, name: str) -> Mapping[str, Any]:
        """Return a configuration of the plan, with what it inherits."""
        everything = self._entry(self.plans, "configurations", dict)
        chain: list[Mapping[str, Any]] = []
        following: str | None = name
        while following is not None:
            if following not in everything or len(chain) > len(everything):
                raise self.fault(f"configuration {following!r}", f"one of {', '.join(everything)}")
            chain.append(everything[following])
            following = chain[-1].get("inherits_from")
        return {key: value for part in reversed(chain) for key, value in part.items()}

    def labels(self) -> dict[int, str]:
        """Return the name of each label; what is ignored in training is no label."""
        listed = {name: value for name, value in self._entry(self.dataset, "labels", dict).items() if name != "ignore"}
        if any(not isinstance(value, int) for value in listed.values()):
            raise self.fault("labels that are regions", "one number for each label")
        if sorted(listed.values()) != list(range(len(listed))) or len(listed) < 2:
            raise self.fault(f"labels {sorted(listed.values())}", "0, 1, 2 and so on without gaps")
        return {value: name for name, value in sorted(listed.items(), key=lambda item: item[1])}

    def label_table(self) -> LabelTable:
        """Return the labels as a table without sides."""
        names = self.labels()
        values = tuple(names)
        return LabelTable(str(self.path), values, tuple(names.values()), ("neutral",) * len(values), values)

    def plan(self, name: str, orientation: str) -> NnUNetPlan:
        """Return grid, patch, intensities and resampling of a configuration."""
        found = self.configuration(name)
        schemes = list(map(str, found.get("normalization_schemes", ())))
        channels = self.dataset.get("channel_names", self.dataset.get("modality", {}))
        if len(schemes) != 1 or len(channels) > 1:
            raise self.fault(f"{max(len(schemes), len(channels))} input channels", "one")
        if schemes[0] not in _NORMALISATIONS:
            raise self.fault(f"normalisation {schemes[0]!r}", " or ".join(_NORMALISATIONS))
        properties = self.plans.get("foreground_intensity_properties_per_channel", {}).get("0", {})
        is_ct = _NORMALISATIONS[schemes[0]] == "ct"
        with self._readable("plan"), about(str(self.path / "plans.json"), InputError):
            return NnUNetPlan(
                spacing_mm=triple(map(float, found["spacing"])),
                patch_voxels=triple(map(int, found["patch_size"])),
                transpose=triple(self.plans["transpose_forward"]),
                orientation=orientation,
                normalisation=_NORMALISATIONS[schemes[0]],
                inside_only=bool(found.get("use_mask_for_norm", [False])[0]),
                intensities={name: float(value) for name, value in properties.items()} if is_ct else {},
                image=self._rule(found, "data"),
                logits=self._rule(found, "probabilities"),
            )

    def network(self, name: str) -> NnUNetConfig:
        """Return the architecture of a configuration."""
        found = self.configuration(name)
        kind, options = self._architecture(found)
        if kind not in ("ResidualEncoderUNet", "PlainConvUNet"):
            raise self.fault(f"a network {kind}", "ResidualEncoderUNet or PlainConvUNet")
        if unknown := sorted(set(options) - _KNOWN):
            raise self.fault(f"options {', '.join(unknown)} of {kind}", "only those of the stock planners")
        for part, allowed in _PARTS.items():
            if (value := options.get(part)) is not None and str(value).rpartition(".")[2] not in allowed:
                raise self.fault(f"{part} {value}", " or ".join(map(str, allowed)))
        blocks = options.get("n_blocks_per_stage", options.get("n_conv_per_stage"))
        with self._readable(kind), about(str(self.path / "plans.json"), InputError):
            stages = len(options["strides"])
            return NnUNetConfig(
                out_channels=len(self.labels()),
                features=_each(options["features_per_stage"], stages),
                kernels=tuple(triple(_each(one, 3)) for one in _each(options["kernel_sizes"], stages)),
                strides=tuple(triple(_each(one, 3)) for one in _each(options["strides"], stages)),
                blocks=_each(blocks, stages),
                decoder_convolutions=_each(options["n_conv_per_stage_decoder"], stages - 1),
                encoder="residual" if kind == "ResidualEncoderUNet" else "plain",
                bias=bool(options.get("conv_bias", False)),
                slope=float((options.get("nonlin_kwargs") or {}).get("negative_slope", 0.01)),
                epsilon=float((options.get("norm_op_kwargs") or {}).get("eps", 1e-5)),
            )

    def _architecture(self, found: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        if "architecture" in found:
            entry = found["architecture"]
            return str(entry["network_class_name"]).rpartition(".")[2], entry["arch_kwargs"]
        with self._readable("network"):  # as before nnU-Net 2.4
            base, most = int(found["UNet_base_num_features"]), int(found["unet_max_num_features"])
            return str(found["UNet_class_name"]), {
                "features_per_stage": [min(base * 2**stage, most) for stage in range(len(found["conv_kernel_sizes"]))],
                "kernel_sizes": found["conv_kernel_sizes"],
                "strides": found["pool_op_kernel_sizes"],
                "n_conv_per_stage": found["n_conv_per_stage_encoder"],
                "n_conv_per_stage_decoder": found["n_conv_per_stage_decoder"],
                "conv_bias": True,
            }

    def _rule(self, found: Mapping[str, Any], kind: str) -> SplineRule:
        function = found.get(f"resampling_fn_{kind}", _RESAMPLING)
        if function != _RESAMPLING:
            raise self.fault(f"resampling by {function}", _RESAMPLING)
        options = found.get(f"resampling_fn_{kind}_kwargs", {})
        order, separate = options.get("order", 3), options.get("force_separate_z", False)
        return SplineRule(int(order), int(options.get("order_z", 0)), _SEPARATION[separate])

    def _entry(self, content: Mapping[str, Any], name: str, kind: type) -> Any:
        if not isinstance(content.get(name), kind):
            raise self.fault(f"no {name}", "a model folder of nnU-Net v2")
        return content[name]

    @contextmanager
    def _readable(self, what: str) -> Iterator[None]:
        try:
            yield
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, SynthSegError):
                raise
            raise self.fault(f"a {what} that cannot be understood ({error!r})", "plans of nnU-Net v2") from error

    def fault(self, found: str, expected: str) -> InputError:
        """Return an error about this folder."""
        return InputError(self.path, found=found, expected=expected, remedy="use a 3d_fullres model of nnU-Net v2")


def _each(value: Any, count: int) -> tuple[Any, ...]:
    """Return a list as it is, and one value as often as it is needed."""
    return tuple(value) if isinstance(value, list | tuple) else (value,) * count
