"""Setting up a project: settings in range, guideline versions, one role a person."""

import pytest
from django.core.exceptions import ValidationError

from annotation.access import Do, projects_where
from annotation.models import Project
from annotation.services.projects.projects import acknowledge, add_member, create_project, publish_guideline


def test_a_project_starts_with_the_papers_settings_a_guideline_and_an_admin(ada):
    project = create_project(slug="foxes", name="Foxes", admin=ada, guideline="# Be fair")
    assert (project.slots, project.per_slot, project.max_images) == (5, 2, 10)
    assert (project.consistency, project.opinions_per_prompt, project.review_share) == ("block", 1, 1.0)
    assert project.guidelines.get().text == "# Be fair"
    assert list(projects_where(ada, Do.ADMINISTER)) == [project]


@pytest.mark.parametrize(
    ("setting", "value"),
    [("slots", 1), ("slots", 10), ("per_slot", 0), ("review_share", 1.5), ("consistency", "maybe")],
)
def test_a_setting_out_of_range_is_named(ada, setting, value):
    with pytest.raises(ValidationError) as refused:
        create_project(slug="foxes", name="Foxes", admin=ada, guideline="", **{setting: value})
    assert list(refused.value.message_dict) == [setting]
    assert not Project.objects.exists()


def test_a_slug_in_use_is_refused(a_project, ada):
    taken = a_project()
    with pytest.raises(ValidationError, match="Slug already exists"):
        create_project(slug=taken.slug, name="Another", admin=ada, guideline="")


def test_a_new_guideline_is_the_next_version_and_the_newest_comes_first(project):
    publish_guideline(project=project, text="# Be fairer")
    assert [guideline.version for guideline in project.guidelines.all()] == [2, 1]


def test_reading_a_guideline_twice_is_recorded_once(project, alice):
    guideline = project.guidelines.first()
    assert acknowledge(guideline=guideline, user=alice) == acknowledge(guideline=guideline, user=alice)


def test_a_member_has_one_role_and_a_new_one_replaces_it(project, alice):
    add_member(project=project, user=alice, role="inspector")
    assert project.memberships.get(user=alice).role == "inspector"


def test_a_role_that_does_not_exist_is_refused(project, eve):
    with pytest.raises(ValueError, match="wizard"):
        add_member(project=project, user=eve, role="wizard")
    assert not project.memberships.filter(user=eve).exists()
