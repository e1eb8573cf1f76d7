"""The encoders that a reward model's heads stand on, by the kind that config.json names.

A new one is a module here, with a Backbone and its BackboneConfig, and a line in BACKBONES.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rewardmodel.learning.model.backbones import blip_layouts, dual_layouts
from rewardmodel.learning.model.backbones.backbone import Backbone, BackboneConfig
from rewardmodel.learning.model.backbones.blip import BlipConfig
from rewardmodel.learning.model.backbones.dual import DualConfig
from rewardmodel.learning.model.backbones.layouts import PublishedLayout

__all__ = ["BACKBONES", "Backbone", "BackboneConfig", "Registered", "backbone_from_dict"]


@dataclass(frozen=True)
class Registered:
    """A kind of backbone, and the layouts in which others publish its weights."""

    config: type[BackboneConfig]
    layouts: tuple[PublishedLayout, ...] = ()


BACKBONES = {
    "blip": Registered(BlipConfig, blip_layouts.LAYOUTS),
    "clip": Registered(DualConfig, dual_layouts.LAYOUTS),
    "siglip": Registered(DualConfig),  # its layout is among CLIP's
}


def backbone_from_dict(values: Mapping[str, Any]) -> BackboneConfig:
    """Return the config of the kind that it names; BLIP's where none is named.

    Raises: TypeError or KeyError on a wrong field; ValueError on an unknown kind.
    """
    kind = values.get("kind", "blip")  # the first checkpoints did not say it
    if kind not in BACKBONES:
        *others, last = BACKBONES
        raise ValueError(f"no backbone {kind!r}; there are {', '.join(others)} and {last}")
    return BACKBONES[kind].config.from_dict(values)
