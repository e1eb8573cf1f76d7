"""Endpoints of this app."""

from refl.api import generators, studies

urlpatterns = [*generators.urlpatterns, *studies.urlpatterns]
