"""Hours: what of people's time counts as work, by whom and when, and the table that admins pay by."""

import csv
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from annotation.models import Assignment, Skip, User
from annotation.selectors.results.hours import Period, work_by_day, work_by_person, work_of
from annotation.services.projects.projects import add_member
from tests.annotation.projects.test_pages import as_
from tests.cast import NOW

MARCH = Period(date(2026, 3, 1), date(2026, 3, 31), ZoneInfo("UTC"), timedelta(minutes=15))
TABLE = {"first": "2026-03-01", "last": "2026-03-31", "zone": "UTC", "minutes": "15"}


@pytest.fixture
def a_task(project, a_prompt):
    """Work of somebody's: `a_task(alice, begun=NOW, minutes=3)`."""

    def make(person, begun=NOW, minutes=2.0, state="accepted", **fields):
        end = begun + timedelta(minutes=minutes)
        return Assignment.objects.create(
            **{"project": project, "prompt": a_prompt(opened=False), "annotator": person, "state": state},
            **{"leased_until": end, "claimed_at": begun, "submitted_at": end},
            accepted_at=end if state == "accepted" else None,
            **fields,
        )

    return make


def minutes(work):
    return round(work.counted / 60, 3), round(work.elapsed / 60, 3)


def after(count):
    return NOW + timedelta(minutes=count)


def test_each_persons_time_and_answers_are_counted(project, alice, bob, a_task):
    a_task(alice, minutes=2)
    a_task(alice, after(10), minutes=4)
    a_task(alice, after(20), minutes=9, state="rejected")
    a_task(bob, minutes=1, state="submitted")
    hers, his = work_by_person(project, MARCH)
    assert (hers.username, hers.tasks, hers.accepted, hers.rejected, hers.waiting) == ("alice", 3, 2, 1, 0)
    assert minutes(hers) == (15, 15)
    assert hers.median == 4 * 60
    assert (his.username, his.waiting, minutes(his)) == ("bob", 1, (1, 1))


def test_a_break_in_the_middle_of_a_task_is_not_paid(project, alice, a_task):
    a_task(alice, minutes=55)
    [hers] = work_by_person(project, MARCH)
    assert minutes(hers) == (15, 55)


def test_a_task_that_was_fetched_ahead_begins_with_the_answer_before_it(project, alice, a_task):
    a_task(alice, NOW, minutes=5)
    a_task(alice, after(1), minutes=6)  # submitted two minutes after the first
    [hers] = work_by_person(project, MARCH)
    assert minutes(hers) == (7, 7)
    yesterday = Period(date(2026, 3, 14), date(2026, 3, 14), ZoneInfo("UTC"), timedelta(minutes=15))
    midnight = datetime(2026, 3, 13, 23, 58, tzinfo=UTC)
    a_task(alice, midnight, minutes=1)
    a_task(alice, midnight, minutes=5)
    assert minutes(work_by_person(project, yesterday)[0]) == (11, 11)


def test_the_time_until_a_task_is_skipped_is_paid(project, alice, a_task):
    task = a_task(alice, minutes=3, state="submitted")
    Assignment.objects.filter(pk=task.pk).update(state="skipped", submitted_at=None)
    Skip.objects.create(assignment=task, reason="unfit", skipped_at=after(3))
    a_task(alice, after(1), minutes=4)
    [hers] = work_by_person(project, MARCH)
    assert (hers.tasks, hers.skipped, hers.median) == (1, 1, 120)
    assert minutes(hers) == (5, 5)


def test_training_and_tests_are_paid_and_references_are_not(project, alice, a_task, a_gold):
    against = a_gold(project).answer
    a_task(alice, kind="training", against=against, minutes=3)
    a_task(alice, after(10), kind="gold", against=against, minutes=2)
    [hers] = work_by_person(project, MARCH)
    assert (hers.tasks, hers.lessons, hers.median) == (1, 1, 120)
    assert minutes(hers) == (5, 5)


def test_days_begin_where_the_time_zone_has_midnight(project, alice, a_task):
    late = datetime(2026, 3, 31, 22, 30, tzinfo=UTC)  # the first of April in Berlin, where summer time holds
    a_task(alice, late)
    assert [work.day for work in work_by_day(project, MARCH)] == [date(2026, 3, 31)]
    berlin = Period(date(2026, 3, 1), date(2026, 3, 31), ZoneInfo("Europe/Berlin"), MARCH.longest)
    assert work_by_person(project, berlin) == []
    april = Period(date(2026, 4, 1), date(2026, 4, 1), ZoneInfo("Europe/Berlin"), MARCH.longest)
    assert [work.day for work in work_by_day(project, april)] == [date(2026, 4, 1)]


def test_only_work_of_the_project_and_with_times_counts(project, a_project, alice, a_prompt, a_task):
    other = a_project()
    Assignment.objects.filter(pk=a_task(alice).pk).update(project=other)
    Assignment.objects.filter(pk=a_task(alice, after(5)).pk).update(claimed_at=None)  # imported
    assert work_by_person(project, MARCH) == []


def test_the_page_costs_as_many_queries_for_one_person_as_for_many(project, ada, a_task):
    hers, spent = as_(ada), []
    for name in ("bob", "carol", "dan"):
        a_task(User.objects.create_user(name))
        with CaptureQueriesContext(connection) as queries:
            page = hers.get(f"/projects/{project.slug}/hours/", TABLE)
        assert f">{name}</th>" in page.text
        spent.append(len(queries))
    assert len(set(spent)) == 1


def rows(page):
    return list(csv.DictReader(b"".join(page.streaming_content).decode().splitlines()))


def test_the_table_has_a_row_a_person_or_a_row_a_day(project, ada, alice, a_task):
    a_task(alice, minutes=30)
    a_task(alice, NOW + timedelta(days=1), minutes=6)
    table = f"/projects/{project.slug}/hours/table/"
    answer = as_(ada).get(table, TABLE)
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert f"hours-{project.slug}-2026-03-01-2026-03-31-people.csv" in answer.headers["Content-Disposition"]
    [row] = rows(answer)
    assert (row["annotator"], row["time_zone"], row["tasks"]) == ("alice", "UTC", "2")
    assert (row["first_day"], row["last_day"]) == ("2026-03-01", "2026-03-31")
    assert (row["hours"], row["hours_with_breaks"]) == ("0.35", "0.6")
    daily = rows(as_(ada).get(table, TABLE | {"by": "day"}))
    assert [(row["first_day"], row["hours"]) for row in daily] == [
        ("2026-03-14", "0.25"),
        ("2026-03-15", "0.1"),
    ]


def test_a_name_is_no_formula_in_the_table(project, ada, a_task):
    sly = User.objects.create_user("@SUM(A1)+1")
    add_member(project=project, user=sly, role="annotator")
    a_task(sly)
    [row] = rows(as_(ada).get(f"/projects/{project.slug}/hours/table/", TABLE))
    assert row["annotator"] == "'@SUM(A1)+1"


def test_the_last_day_there_is_ends_no_period(project, ada):
    period = {"first": "9999-12-01", "last": "9999-12-31"}
    refused = as_(ada).get(f"/projects/{project.slug}/hours/", TABLE | period)
    assert refused.status_code == 422
    assert "No day comes after this one." in refused.text


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("last", "2026-02-28", "ends before it begins"),
        ("last", "2027-06-01", "a year at most"),
        ("first", "soon", "Enter a valid date"),
        ("zone", "Mars/Olympus", "Select a valid choice"),
        ("minutes", "0", "greater than or equal to 1"),
    ],
)
def test_a_period_that_cannot_be_is_refused_at_the_field(project, ada, field, value, said):
    for page in ("hours/", "hours/table/"):
        refused = as_(ada).get(f"/projects/{project.slug}/{page}", TABLE | {field: value})
        assert refused.status_code == 422
        assert f'id="id_{field}_error"' in refused.text
        assert said in refused.text


def test_hours_are_for_admins_only(project, ada, alice, rita, rosa, eve):
    for page in ("hours/", "hours/table/"):
        path = f"/projects/{project.slug}/{page}"
        assert as_(ada).get(path, TABLE).status_code == 200
        for person in (alice, rita, rosa, eve):
            assert as_(person).get(path, TABLE).status_code == 404


def test_without_a_period_the_page_shows_this_month(project, ada, alice, a_task):
    a_task(alice, datetime.now(UTC) - timedelta(minutes=2), minutes=2)
    assert ">alice</th>" in as_(ada).get(f"/projects/{project.slug}/hours/").text
    empty = as_(ada).get(f"/projects/{project.slug}/hours/", TABLE)
    assert "Nobody worked in this period." in empty.text


@pytest.mark.parametrize("query", [{"utm_source": "mail"}, {"minutes": "60"}, {}])
def test_what_an_address_does_not_say_of_the_period_is_of_this_month(project, ada, alice, a_task, query):
    a_task(alice, datetime.now(UTC) - timedelta(minutes=2), minutes=2)
    assert ">alice</th>" in as_(ada).get(f"/projects/{project.slug}/hours/", query).text
    [row] = rows(as_(ada).get(f"/projects/{project.slug}/hours/table/", query))
    assert row["annotator"] == "alice"


# One's own


def test_people_read_what_they_did_today_and_since_monday(project, alice, bob, a_task):
    saturday = NOW  # the 14th of March 2026
    a_task(alice, saturday - timedelta(days=6), minutes=9)  # the Sunday before: another week
    a_task(alice, saturday - timedelta(days=1), minutes=4)
    a_task(alice, saturday, minutes=2)
    a_task(bob, saturday, minutes=1)
    hers = work_of(alice, project, now=saturday, longest=timedelta(minutes=3))
    assert hers == (1, 2 * 60, 2, 5 * 60)
    assert work_of(bob, project, now=saturday, longest=timedelta(minutes=3)) == (1, 60, 1, 60)


def test_own_figures_stand_on_home_above_the_answers_and_above_the_work(project, alice, eve, a_task):
    a_task(alice, datetime.now(UTC) - timedelta(minutes=2), minutes=2)  # ended now: today, at midnight too
    for address in ("/", f"/work/{project.slug}/answers/", f"/work/{project.slug}/answers/today/"):
        assert "2 min 0 s" in as_(alice).get(address).text
    assert as_(eve).get(f"/work/{project.slug}/answers/today/").status_code == 404
