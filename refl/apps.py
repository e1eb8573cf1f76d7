from importlib import import_module

from django.apps import AppConfig


class ReflConfig(AppConfig):
    name = "refl"

    def ready(self) -> None:
        """Register events and pages."""
        from annotation.navigation import MenuItem, register_menu_item

        import_module("refl.services.generators")
        register_menu_item(MenuItem("Generators", "generators"))
