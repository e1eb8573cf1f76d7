from importlib import import_module

from django.apps import AppConfig


class AnnotationConfig(AppConfig):
    name = "annotation"

    def ready(self) -> None:
        """Register events, in the order in which pages list them; kinds of stored files; log sign-ins."""
        import_module("annotation.services.people.sign_ins")
        import_module("annotation.services.judgements.judgements")
        import_module("annotation.services.judgements.revisions")
        import_module("annotation.services.judgements.reviews")
        import_module("annotation.services.exports.worker")
        import_module("annotation.services.recovery.looks")
