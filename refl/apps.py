from importlib import import_module

from django.apps import AppConfig


class ReflConfig(AppConfig):
    name = "refl"

    def ready(self) -> None:
        """Register events, pages and paths."""
        from annotation.access import Do
        from annotation.navigation import (
            MenuItem,
            Page,
            Panel,
            register_menu_item,
            register_page,
            register_panel,
        )
        from annotation.registry import register_paths
        from refl.loop.panel import read_panels

        import_module("refl.services.generators")
        import_module("refl.services.studies")
        import_module("refl.services.stored_files")
        register_paths("refl.Generator", "pipeline", "lora", "pretraining")
        register_menu_item(MenuItem("Generators", "generators"))
        register_page(Page("loop", "Loop", "loop", Do.RESEARCH), section="Progress", after="overview")
        register_page(Page("generators", "Generators", "project-generators"), section="Progress")
        studies = Page("studies", "Studies", "project-studies", Do.RESEARCH)
        register_page(studies, section="Results", after="leaderboard")
        register_panel(Panel("refl/panel.html", read_panels, Do.RESEARCH))
