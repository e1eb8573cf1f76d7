from importlib import import_module

from django.apps import AppConfig


class RewardModelConfig(AppConfig):
    name = "rewardmodel"

    def ready(self) -> None:
        """Register events and log actions, in the order in which pages list them; pages; and paths."""
        from annotation.access import Do
        from annotation.navigation import MenuItem, Page, register_menu_item, register_page
        from annotation.registry import register_paths

        import_module("rewardmodel.runs.states")
        import_module("rewardmodel.services.selections")
        import_module("rewardmodel.services.datasets")
        import_module("rewardmodel.services.checkpoints")
        import_module("rewardmodel.services.promotions")
        import_module("rewardmodel.services.learning_alarms")
        import_module("rewardmodel.services.stored_files")

        register_paths("rewardmodel.RewardCheckpoint", "folder")
        register_menu_item(MenuItem("Models", "models"))
        register_page(Page("models", "Models", "project-models"), section="Progress")
        register_page(Page("selections", "Selection", "selections"), section="Data", after="prompts")
        register_page(Page("try", "Try the model", "try-model", Do.RESEARCH), section="Results")
        register_page(Page("evaluations", "Reward models", "evaluations", Do.RESEARCH), section="Results")
