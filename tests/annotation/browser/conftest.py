"""People at a browser: signed in, with a task before them."""

import pytest
from django.test import Client

from annotation.services.projects.projects import acknowledge


@pytest.fixture
def at_work(a_page, live_server, project):
    """Opens the workspace as somebody who has read the guideline: `at_work(alice, has_touch=True)`."""

    def open_workspace(person, path=None, **options):
        for guideline in project.guidelines.all():
            acknowledge(guideline=guideline, user=person)
        signed_in = Client()
        signed_in.force_login(person)
        page = a_page(**options)
        cookie = {"name": "sessionid", "value": signed_in.cookies["sessionid"].value}
        page.context.add_cookies([{**cookie, "url": live_server.url}])
        page.goto(f"{live_server.url}{path or f'/work/{project.slug}/'}")
        return page

    return open_workspace
