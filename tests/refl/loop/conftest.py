"""Rankings and a model that learns from them, beside the generators of the folder above."""

from tests.rewardmodel.conftest import _folders, a_model, encoder, encoder_folder, project, rank

__all__ = ["_folders", "a_model", "encoder", "encoder_folder", "project", "rank"]
