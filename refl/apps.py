from django.apps import AppConfig


class ReflConfig(AppConfig):
    name = "refl"
