"""The main menu and the pages of a project, as far as the user may open them."""

from __future__ import annotations

from dataclasses import dataclass

from django import template
from django.http import HttpRequest
from django.template import Context
from django.urls import reverse

from annotation.access import Do, permissions_anywhere, permissions_in
from annotation.models import Project, User
from annotation.navigation import MENU, SECTIONS

register = template.Library()


@dataclass(frozen=True)
class Link:
    """`current`: the open page is this one, or below it."""

    name: str
    url: str
    current: bool


@register.filter
def menu(request: HttpRequest) -> list[Link]:
    """Return the links that the user may open, in one query."""
    assert isinstance(request.user, User)
    permissions = permissions_anywhere(request.user)
    items = [("Home", "home"), *((item.title, item.url) for item in MENU if item.needs in permissions)]
    addresses = [(title, reverse(name)) for title, name in items]
    return [Link(title, url, _is_current(url, request.path)) for title, url in addresses]


def _is_current(url: str, path: str) -> bool:
    return path == url if url == "/" else path.startswith(url)


@dataclass(frozen=True)
class ProjectPages:
    """The sections that the user may open, the pages of the open one, and the link back."""

    back: Link
    sections: list[Link]
    open: str
    pages: list[Link]


@register.simple_tag(takes_context=True)
def project_pages(context: Context, project: Project, tab: str) -> ProjectPages:
    """Return the project's navigation, in one query. A section of one page has that page's name."""
    permissions = permissions_in(project, context["request"].user)
    sections, opened, pages = [], "", []
    for title, listed in SECTIONS.items():
        allowed = [page for page in listed if page.needs in permissions]
        if not allowed:
            continue
        name = title if len(allowed) > 1 else allowed[0].title
        is_open = any(page.tab == tab for page in allowed)
        sections.append(Link(name, allowed[0].address(project), is_open))
        if is_open and len(allowed) > 1:
            opened = name
            pages = [Link(page.title, page.address(project), page.tab == tab) for page in allowed]
    return ProjectPages(_back(permissions), sections, opened, pages)


def _back(permissions: frozenset[Do]) -> Link:
    if Do.ADMINISTER in permissions:
        return Link("Projects", reverse("projects"), False)
    if Do.INSPECT in permissions:
        return Link("Inspect", reverse("inspection-queue"), False)
    return Link("Home", reverse("home"), False)
