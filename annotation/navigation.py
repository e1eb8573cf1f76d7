"""The items of the main menu, the pages of a project by section, and what apps show on Home.

Other apps register theirs when they are ready, so that this one names none of their pages.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from django.urls import reverse

from annotation.access import Do
from annotation.models import Project


@dataclass(frozen=True)
class MenuItem:
    """An item of the main menu, its URL name, and the permission needed in any project to see it."""

    title: str
    url: str
    needs: Do = Do.ADMINISTER


@dataclass(frozen=True)
class Page:
    """A page of a project: its tab name, its URL name, and the permission needed to open it."""

    tab: str
    title: str
    url: str
    needs: Do = Do.ADMINISTER

    def address(self, project: Project) -> str:
        return reverse(self.url, args=[project.slug])


MENU = [MenuItem("Inspect", "inspection-queue", Do.INSPECT), MenuItem("Projects", "projects")]  # behind Home

# Every page of a project that the navigation leads to. A page belongs here and nowhere else.
SECTIONS: dict[str, list[Page]] = {
    "Progress": [Page("overview", "Progress", "project")],
    "Data": [
        Page("prompts", "Prompts", "project-prompts"),
        Page("references", "References", "references", Do.RESEARCH),
        Page("exports", "Exports", "project-exports"),
    ],
    "People": [
        Page("people", "Members", "project-people"),
        Page("hours", "Hours", "hours"),
        Page("quality", "Quality", "quality", Do.INSPECT),
    ],
    "Results": [
        Page("agreement", "Agreement", "project-agreement", Do.STUDY),
        Page("analysis", "Analysis", "project-analysis", Do.STUDY),
        Page("leaderboard", "Leaderboard", "project-leaderboard", Do.STUDY),
    ],
    "Settings": [
        Page("settings", "Settings", "project-settings"),
        Page("guideline", "Guideline", "project-guideline"),
        Page("webhooks", "Webhooks", "project-webhooks"),
        Page("log", "Log", "project-log"),
    ],
}


def register_menu_item(item: MenuItem) -> None:
    """Add an item at the end of the main menu."""
    MENU.append(item)


def register_page(page: Page, *, section: str, after: str | None = None) -> None:
    """Add a page to a section, after the page whose tab is `after`, or else at its end.

    Raises: ValueError for an unknown section or tab.
    """
    tabs = [page.tab for page in SECTIONS.get(section, [])]
    if not tabs or (after is not None and after not in tabs):
        raise ValueError(f"there is no {after or 'page'} in a section {section}")
    SECTIONS[section].insert(len(tabs) if after is None else tabs.index(after) + 1, page)


@dataclass(frozen=True)
class Panel:
    """What another app shows of each project on Home.

    Attributes:
        template: gets `project`, and `panel`: what `read` returned for it.
        read: from projects to what the template needs, by the project's id; projects may be left out.
        needs: the permission in a project without which nothing is read or shown of it.
    """

    template: str
    read: Callable[[Collection[Project]], Mapping[int, object]]
    needs: Do


PANELS: list[Panel] = []  # in order, below what there is to do in the project


def register_panel(panel: Panel) -> None:
    """Show the panel on Home, in the card of each project."""
    PANELS.append(panel)
