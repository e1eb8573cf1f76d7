"""Where somebody's roles let them go: the places of the main navigation, and the pages of a project."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django import template
from django.http import HttpRequest
from django.template import Context
from django.urls import reverse

from annotation.access import INSPECTING, RESEARCHING, STUDYING, role_in
from annotation.models import Membership, Project, User

register = template.Library()
ADMIN = (Membership.Role.ADMIN,)


@dataclass(frozen=True)
class Place:
    """`current`: the page that is open is this one, or below it."""

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


@dataclass(frozen=True)
class Page:
    """A page of a project: what its view calls it, the name of its address, and who may open it.

    `below` is what follows that address, where the page is of an app whose names this one does not know; such
    an app's place among the main ones stands for the name then.
    """

    tab: str
    title: str
    url: str
    roles: Sequence[str] = ADMIN
    below: str = ""

    def address(self, project: Project) -> str:
        start = f"{self.url}{project.slug}/" if "/" in self.url else reverse(self.url, args=[project.slug])
        return start + self.below


# Every page of a project that the navigation leads to. A page belongs here and nowhere else.
SECTIONS: dict[str, list[Page]] = {
    "Progress": [Page("overview", "Progress", "project")],
    "Data": [
        Page("prompts", "Prompts", "project-prompts"),
        Page("selections", "Selection", "project", below="selections/"),
        Page("references", "References", "references", RESEARCHING),
        Page("exports", "Exports", "project-exports"),
    ],
    "People": [
        Page("people", "Members", "project-people"),
        Page("hours", "Hours", "hours"),
        Page("quality", "Quality", "quality", INSPECTING),
    ],
    "Results": [
        Page("agreement", "Agreement", "project-agreement", STUDYING),
        Page("analysis", "Analysis", "project-analysis", STUDYING),
        Page("leaderboard", "Leaderboard", "project-leaderboard", STUDYING),
        Page("try", "Try the model", "project", RESEARCHING, below="try/"),
        Page("evaluations", "Reward models", "/models/", RESEARCHING, below="evaluations/"),
    ],
    "Settings": [
        Page("settings", "Settings", "project-settings"),
        Page("guideline", "Guideline", "project-guideline"),
        Page("webhooks", "Webhooks", "project-webhooks"),
        Page("log", "Log", "project-log"),
    ],
}


@dataclass(frozen=True)
class ProjectPages:
    """The sections that somebody may open, the pages of the open one, and where they came from."""

    back: Place
    sections: list[Place]
    open: str
    pages: list[Place]


@register.simple_tag(takes_context=True)
def project_pages(context: Context, project: Project, tab: str) -> ProjectPages:
    """What leads around in the project, one query. A section of one page goes by that page's name."""
    role = role_in(project, context["request"].user)
    sections, opened, pages = [], "", []
    for title, listed in SECTIONS.items():
        mine = [page for page in listed if role in page.roles]
        if not mine:
            continue
        name = title if len(mine) > 1 else mine[0].title
        is_open = any(page.tab == tab for page in mine)
        sections.append(Place(name, mine[0].address(project), is_open))
        if is_open and len(mine) > 1:
            opened = name
            pages = [Place(page.title, page.address(project), page.tab == tab) for page in mine]
    return ProjectPages(_back(role), sections, opened, pages)


def _back(role: str | None) -> Place:
    if role == Membership.Role.ADMIN:
        return Place("Projects", reverse("projects"), False)
    if role == Membership.Role.INSPECTOR:
        return Place("Inspect", reverse("inspection-queue"), False)
    return Place("Home", reverse("home"), False)
