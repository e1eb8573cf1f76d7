"""What a pipeline came with and is loaded without, carried through to what is saved of it. No torch."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from refl.learning.families import NotAPipeline
from refl.learning.families.folders import PipelineFolder
from refl.learning.families.inspection import INDEX
from refl.learning.families.weight_files import find_network

# Not loaded: a safety checker would black out images that a reward is to see.
CARRIED = ("safety_checker", "feature_extractor", "image_encoder")


def carry_components(source: Path, result: Path) -> None:
    """Copy the `CARRIED` components of the pipeline that was loaded from `source` to where it was saved.

    Weights get plain names, as those of the result have. Of a component with pickles alone nothing is copied.
    """
    folder = PipelineFolder(source)
    index, saved = folder.read_json(INDEX), PipelineFolder(result).read_json(INDEX)
    for component in CARRIED:
        if any(index.get(component) or ()) and _copy(folder, component, result):
            saved[component] = index[component]
    if "requires_safety_checker" in index:
        is_checked = any(saved.get("safety_checker") or ())
        saved["requires_safety_checker"] = index["requires_safety_checker"] and is_checked
    (result / INDEX).write_text(json.dumps(saved, indent=2) + "\n", encoding="utf-8")


def _copy(folder: PipelineFolder, component: str, result: Path) -> bool:
    """Copy a component's files; return whether it can be loaded from them."""
    variant: str | None = None
    weights: tuple[str, ...] = ()
    if f"{component}/config.json" in folder.files:
        try:
            network = find_network(folder, component, "transformers", "")
        except NotAPipeline:
            return False
        variant, weights = network.variant, network.files
    (result / component).mkdir(exist_ok=True)
    for file in folder.files:
        is_config = file.startswith(f"{component}/") and file.endswith(".json") and ".index." not in file
        if is_config or file in weights:
            target = result / (file.replace(f".{variant}", "") if variant else file)
            if variant and file.endswith(".json"):  # the index of shards names them
                text = (folder.folder / file).read_text(encoding="utf-8")
                target.write_text(text.replace(f".{variant}", ""), encoding="utf-8")
            else:
                shutil.copyfile(folder.folder / file, target)
    return True
