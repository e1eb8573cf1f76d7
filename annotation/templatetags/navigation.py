"""The main navigation: the places somebody's roles open."""

from __future__ import annotations

from dataclasses import dataclass

from django import template
from django.http import HttpRequest
from django.urls import reverse

from annotation.models import Membership, User

register = template.Library()


@dataclass(frozen=True)
class Place:
    name: str
    url: str
    current: bool


@register.filter
def places(request: HttpRequest) -> list[Place]:
    """Where this person may go, one query; a superuser is an admin everywhere."""
    assert isinstance(request.user, User)
    roles = set(request.user.memberships.values_list("role", flat=True).distinct())
    is_admin = request.user.is_superuser or Membership.Role.ADMIN in roles
    found = [("Home", reverse("home"))]
    if is_admin or Membership.Role.INSPECTOR in roles:
        found.append(("Inspect", reverse("inspection-queue")))
    if is_admin:
        # The last two are fixed by the design: this app must not know the names of pages of those above it.
        found += [
            ("Projects", reverse("projects")),
            ("Models", "/models/"),
            ("Generators", "/generators/"),
        ]
    return [Place(name, url, _is_current(url, request.path)) for name, url in found]


def _is_current(url: str, path: str) -> bool:
    return path == url if url == "/" else path.startswith(url)
