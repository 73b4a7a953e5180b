"""Keras HDF5 weight files: which layer holds which array of a network, and how such files are read and written.

The layer names are those of the published SynthSeg files. Arrays are found by layer name, never by position, in
files that hold weights alone and in files that hold a whole model (the same tree below ``model_weights``).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from synthseg_core.errors import WeightsError
from synthseg_core.networks.config import NetworkSpec, RegressorConfig, UNetConfig
from synthseg_core.system.atomic import atomic_path

Arrays = dict[str, NDArray[np.float32]]

_CONVOLUTION = {"kernel": "weight", "bias": "bias"}
_NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
# Keras kernels are [k, k, k, in, out], torch's [out, in, k, k, k]; both correlate, so nothing is flipped.
_KERAS_TO_TORCH, _TORCH_TO_KERAS = (4, 3, 0, 1, 2), (2, 3, 4, 1, 0)
_WHOLE_MODEL_GROUP = "model_weights"
# What h5py was seen to raise on files with bytes changed at random or cut off.
_HDF5_DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError)


@dataclass(frozen=True)
class Layer:
    """A layer, mostly one that has weights.

    Parameters
    ----------
    keras
        Name of the layer in a Keras file, prefix included.
    module
        Name of the torch module.
    kernel_shape
        Edge, edge, edge, input channels, output channels of a convolution; ``None`` for batch normalisation.
    channels
        Output channels; 0 for a layer without weights, which Keras files list too.
    """

    keras: str
    module: str
    kernel_shape: tuple[int, int, int, int, int] | None
    channels: int

    def names(self) -> dict[str, str]:
        """Return the torch name of each Keras array of this layer, in the order in which Keras stores them."""
        keys = (_CONVOLUTION if self.kernel_shape else _NORM) if self.channels else {}
        return {key: f"{self.module}.{name}" for key, name in keys.items()}

    def keras_shape(self, key: str) -> tuple[int, ...]:
        """Return the shape of an array as Keras stores it."""
        return self.kernel_shape if key == "kernel" and self.kernel_shape else (self.channels,)

    def torch_shape(self, key: str) -> tuple[int, ...]:
        """Return the shape of an array as torch stores it."""
        shape = self.keras_shape(key)
        return tuple(shape[axis] for axis in _KERAS_TO_TORCH) if len(shape) == 5 else shape


def layers_of(spec: NetworkSpec) -> tuple[Layer, ...]:
    """Return the layers of a network that have weights, in the order of computation."""
    return tuple(layer for layer in listed_layers_of(spec) if layer.channels)


def listed_layers_of(spec: NetworkSpec) -> tuple[Layer, ...]:
    """Return all layers that the published files list for a network, in the order of computation."""
    if isinstance(spec.config, RegressorConfig):
        return tuple(_regressor_layers(spec.prefix, spec.config))
    return tuple(_unet_layers(spec.prefix, spec.config))


def torch_shapes(spec: NetworkSpec) -> dict[str, tuple[int, ...]]:
    """Return the name and shape of every array of a network, as its torch module has them."""
    return {name: layer.torch_shape(key) for layer in layers_of(spec) for key, name in layer.names().items()}


def parameter_count(spec: NetworkSpec) -> int:
    """Return how many numbers a network holds, running statistics included."""
    return sum(int(np.prod(shape)) for shape in torch_shapes(spec).values())


def read_keras(path: Path, spec: NetworkSpec) -> tuple[Arrays, list[str]]:
    """Read one network from a Keras file.

    Parameters
    ----------
    path
        An HDF5 file in either layout; layers of other networks in it are ignored.
    spec
        The network; its prefix begins the layer names.

    Returns
    -------
    arrays, faults
        The arrays that were found, float32, by torch name; and one phrase for each array that is missing or has
        another shape.

    Raises
    ------
    WeightsError
        If the file cannot be read as HDF5.
    """
    arrays: Arrays = {}
    faults: list[str] = []
    try:
        with h5py.File(path, "r") as file:
            groups = _layer_groups(file)
            for layer in layers_of(spec):
                _read_layer(groups, layer, arrays, faults)
    except _HDF5_DAMAGE as error:
        raise WeightsError(
            path,
            found=f"damaged or truncated HDF5 ({error})",
            expected="a complete Keras weights file",
            remedy="fetch or copy the file again",
        ) from error
    return arrays, faults


def write_keras(path: Path, networks: Sequence[tuple[NetworkSpec, Mapping[str, NDArray[Any]]]]) -> None:
    """Write networks to one file in the layout of the published files: weights alone, a group for every layer.

    Parameters
    ----------
    path
        The file to make; it is replaced in one step.
    networks
        Each network with its arrays by torch name; arrays beyond the named ones (counters) are left out.

    Raises
    ------
    WeightsError
        If arrays are missing or have another shape.
    """
    for spec, arrays in networks:
        require_complete(path, spec, arrays)
    with atomic_path(path) as temporary, h5py.File(temporary, "w", track_order=False) as file:
        every = [(layer, arrays) for spec, arrays in networks for layer in listed_layers_of(spec)]
        file.attrs["layer_names"] = [layer.keras.encode() for layer, _ in every]
        file.attrs["backend"] = b"tensorflow"
        file.attrs["keras_version"] = b"2.3.1"  # the generation of Keras that the published files were made with
        for layer, arrays in every:
            _write_layer(file.create_group(layer.keras), layer, arrays)


def require_complete(path: Path, spec: NetworkSpec, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Raise ``WeightsError`` unless every array of a network is there in its shape; ``path`` is for the message."""
    wrong = [
        name for name, shape in torch_shapes(spec).items() if name not in arrays or np.shape(arrays[name]) != shape
    ]
    if wrong:
        raise WeightsError(
            path,
            found=f"network {spec.prefix} with {len(wrong)} arrays missing or of another shape, first {wrong[0]}",
            expected="all arrays of the network",
            remedy="write the network that its model card describes",
        )


def _unet_layers(prefix: str, config: UNetConfig) -> Iterator[Layer]:
    edge, deepest = config.kernel_size, config.levels - 1
    if config.in_channels == 1:  # others get their input from what stands before them
        yield _weightless(f"{prefix}_input")
    for level in range(config.levels):
        width, before = config.width(level), config.width(level - 1) if level else config.in_channels
        yield _convolution(f"{prefix}_conv_downarm_{level}_0", f"down.{level}.conv0", edge, before, width)
        yield _convolution(f"{prefix}_conv_downarm_{level}_1", f"down.{level}.conv1", edge, width, width)
        yield Layer(f"{prefix}_bn_down_{level}", f"down.{level}.norm", None, width)
        if level < deepest:
            yield _weightless(f"{prefix}_maxpool_{level}")
    for step in range(deepest):
        # The decoder's names go on counting where the encoder's levels stopped.
        number, width, below = config.levels + step, config.width(deepest - 1 - step), config.width(deepest - step)
        joined = width + below if config.has_skip(step) else below
        yield _weightless(f"{prefix}_up_{number}")
        if config.has_skip(step):
            yield _weightless(f"{prefix}_merge_{number}")
        yield _convolution(f"{prefix}_conv_uparm_{number}_0", f"up.{step}.conv0", edge, joined, width)
        yield _convolution(f"{prefix}_conv_uparm_{number}_1", f"up.{step}.conv1", edge, width, width)
        yield Layer(f"{prefix}_bn_up_{step}", f"up.{step}.norm", None, width)
    yield _convolution(f"{prefix}_likelihood", "head", 1, config.width(0), config.out_channels)
    yield _weightless(f"{prefix}_prediction")


def _regressor_layers(prefix: str, config: RegressorConfig) -> Iterator[Layer]:
    edge, out = config.kernel_size, config.out_channels
    for level in range(config.levels):
        width, before = config.width(level), config.width(level - 1) if level else config.in_channels
        yield _convolution(f"{prefix}_conv_downarm_{level}_0", f"down.{level}.conv0", edge, before, width)
        yield _convolution(f"{prefix}_expand_down_merge_{level}", f"down.{level}.shortcut", edge, before, width)
        yield _convolution(f"{prefix}_conv_downarm_{level}_1", f"down.{level}.conv1", edge, width, width)
        yield _weightless(f"{prefix}_res_down_merge_{level}")
        yield _weightless(f"{prefix}_res_down_merge_act_{level}")
        yield Layer(f"{prefix}_bn_down_{level}", f"down.{level}.norm", None, width)
        yield _weightless(f"{prefix}_maxpool_{level}")
    yield _convolution(f"{prefix}_final_conv_0", "final.0", edge, config.width(config.levels - 1), out)
    yield _convolution(f"{prefix}_final_conv_1", "final.1", edge, out, out)
    yield _weightless(f"{prefix}_final_pred")


def _weightless(keras: str) -> Layer:
    return Layer(keras, "", None, 0)


def _convolution(keras: str, module: str, edge: int, inputs: int, outputs: int) -> Layer:
    return Layer(keras, module, (edge, edge, edge, inputs, outputs), outputs)


def _layer_groups(file: h5py.File) -> h5py.Group:
    whole = file.get(_WHOLE_MODEL_GROUP)
    return whole if isinstance(whole, h5py.Group) else file


def _read_layer(groups: h5py.Group, layer: Layer, arrays: Arrays, faults: list[str]) -> None:
    group = groups.get(layer.keras)
    if not isinstance(group, h5py.Group):
        faults.append(f"no layer {layer.keras}")
        return
    stored = _datasets(group)
    for key, name in layer.names().items():
        found = stored.get(key, [])
        if len(found) != 1:
            faults.append(f"{len(found) or 'no'} {key} in layer {layer.keras}")
        elif found[0].shape != layer.keras_shape(key):
            faults.append(f"{layer.keras}/{key} of shape {found[0].shape} instead of {layer.keras_shape(key)}")
        else:
            arrays[name] = _to_torch(found[0][()])


def _datasets(group: h5py.Group) -> dict[str, list[h5py.Dataset]]:
    """Arrays below a layer's group by their last name, for instance ``kernel`` for ``unet_likelihood/kernel:0``."""
    found: dict[str, list[h5py.Dataset]] = {}

    def collect(name: str | bytes, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            found.setdefault(os.fsdecode(name).rpartition("/")[2].partition(":")[0], []).append(item)

    group.visititems(collect)
    return found


def _to_torch(array: NDArray[Any]) -> NDArray[np.float32]:
    moved = array.transpose(_KERAS_TO_TORCH) if array.ndim == 5 else array
    return np.ascontiguousarray(moved, dtype=np.float32)


def _write_layer(group: h5py.Group, layer: Layer, arrays: Mapping[str, NDArray[Any]]) -> None:
    names = {key: f"{layer.keras}/{key}:0" for key in layer.names()}
    group.attrs["weight_names"] = np.array([name.encode() for name in names.values()], dtype="S")
    for key, name in layer.names().items():
        array = np.asarray(arrays[name], dtype=np.float32)
        moved = array.transpose(_TORCH_TO_KERAS) if array.ndim == 5 else array
        group.create_dataset(names[key], data=np.ascontiguousarray(moved))
