"""How people find their way in a project: they are shown what they may open, and nothing else."""

import re

import pytest

from annotation.access import MAY
from annotation.models import User
from annotation.navigation import SECTIONS
from tests.annotation.projects.test_pages import as_

PAGES = [page for pages in SECTIONS.values() for page in pages]


def ways(html):
    """Section or page -> its address, as the tabs of a page show them; and the one that is open."""
    tabs = "".join(re.findall(r'<nav class="tabs.*?</nav>', html, re.DOTALL))
    links = re.findall(r'<a href="([^"]+)"(?: aria-current="(\w+)")?>([^<]+)</a>', tabs)
    return {name: address for address, _, name in links}, [name for _, how, name in links if how == "page"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.tab)
def test_a_page_opens_for_the_roles_that_are_shown_it_and_for_no_others(
    page, project, alice, rita, rosa, ada, eve
):
    for person, role in ((alice, "annotator"), (rita, "inspector"), (rosa, "researcher"), (ada, "admin")):
        answer = as_(person).get(page.address(project))
        assert answer.status_code == (200 if page.needs in MAY[role] else 404), role
        if page.needs in MAY[role]:
            names, opened = ways(answer.text)
            assert opened == [page.title]
            assert names[page.title] == page.address(project)
    assert as_(eve).get(page.address(project)).status_code == 404


def test_each_way_that_somebody_is_shown_leads_to_a_page(project, rita, rosa, ada):
    for person in (rita, rosa, ada):
        them, start = as_(person), f"/projects/{project.slug}/agreement/"
        seen, left = set(), {start}
        while left - seen:
            address = (left - seen).pop()
            answer = them.get(address)
            assert answer.status_code == 200, address
            seen.add(address)
            left |= set(ways(answer.text)[0].values())
    assert {page.address(project) for page in PAGES} <= seen


def test_a_superuser_sees_what_admins_see(project, ada):
    chief = User.objects.create_superuser("chief")
    page = f"/projects/{project.slug}/agreement/"
    assert ways(as_(chief).get(page).text) == ways(as_(ada).get(page).text)


def test_a_researcher_comes_from_home_to_the_results(project, rosa):
    assert f"/projects/{project.slug}/agreement/" in as_(rosa).get("/").text
    assert '<a class="back" href="/">' in as_(rosa).get(f"/projects/{project.slug}/agreement/").text
