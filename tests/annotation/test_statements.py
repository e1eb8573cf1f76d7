"""Querysets that are turned into SQL once give what they would give, whatever the values."""

import pytest
from django.db import connection, models

from annotation.models import Assignment, User
from annotation.statements import Parameter, Statement, fetch_one, select, update

PROMPT = Parameter("prompt")


def test_a_statement_gives_the_object_its_related_ones_and_its_annotations(a_prompt):
    prompts = [a_prompt(), a_prompt()]
    opened = Assignment.objects.filter(prompt=PROMPT).select_related("project", "prompt").with_images()
    statement = Statement(lambda: opened.annotate(number=models.F("priority") + 1))
    for prompt in prompts:
        stored = Assignment.objects.with_images().get(prompt=prompt)
        assignment = statement.first(prompt=prompt.pk)
        assert all(
            getattr(assignment, field.attname) == getattr(stored, field.attname)
            for field in Assignment._meta.concrete_fields
        )
        assert (assignment.prompt, assignment.prompt.text) == (prompt, prompt.text)
        assert assignment.project.name == prompt.project.name
        assert assignment.showable == stored.showable
        assert vars(assignment)["number"] == 1
    assert statement.first(prompt=0) is None


def test_values_are_no_part_of_the_sql_and_a_rules_own_words_are_quoted(db):
    people = User.objects.filter(username=Parameter("name"), last_name="O'Hara, 50%").values("username")
    sql = select(people)
    assert "%(name)s" in sql
    assert "'O''Hara, 50%%'" in sql
    User.objects.create(username="'); --", last_name="O'Hara, 50%")
    assert fetch_one(sql, {"name": "'); --"}) == ("'); --",)
    assert fetch_one(sql, {"name": "else"}) is None


@pytest.mark.parametrize("state", Assignment.State)
def test_an_update_sets_what_the_queryset_would_and_only_there(a_prompt, alice, state):
    prompt, other = a_prompt(), a_prompt()
    sql = update(Assignment.objects.filter(prompt=PROMPT, state=state), priority=Parameter("priority"))
    row = fetch_one(f"{sql} RETURNING priority", {"prompt": prompt.pk, "priority": 7})
    assert row == ((7,) if state == Assignment.State.OPEN else None)
    assert Assignment.objects.get(prompt=other).priority == 0


def test_what_is_prepared_is_planned_once_whatever_its_values(transactional_db):
    connection.close()  # a connection whose every statement is of this test
    people = select(User.objects.filter(username=Parameter("name")).values("pk"))
    for name in "abcdefghij":
        fetch_one(people, {"name": name})
    plans = "SELECT custom_plans, generic_plans > 5 FROM pg_prepared_statements WHERE statement LIKE %(text)s"
    assert fetch_one(plans, {"text": "%annotation_user%username%"}) == (0, True)
