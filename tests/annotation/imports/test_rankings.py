"""Importing rankings: all of a file or nothing of it, with a refusal that names file and row."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pyarrow
import pytest
from django.db import connection
from pyarrow import parquet

from annotation.models import Assignment, Generation, Placement, Project, Rating, User
from annotation.services.imports import ImportRefused, import_generations, import_rankings
from annotation.services.projects.projects import SettingsFrozen, change_settings
from tests.annotation.imports.rows import manifest_row, nothing_written, ranking_row
from tests.annotation.judgements.test_revisions import revise, slots_of, submit
from tests.cast import NOW, picture

# Who waits for a lock of this connection.
BLOCKED = "SELECT pid FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"


def test_rankings_come_in_as_accepted_answers_with_their_images(project, written, foxes):
    file = written(
        "r.json", [ranking_row(), ranking_row(key="2", generations=["c.png", "a.png"], ranking=[5, 2])]
    )
    done = import_rankings(project=project, file=file, now=NOW)
    assert (done.rankings, done.prompts, done.images, done.known) == (2, 2, 5, 0)
    answer = Assignment.objects.get(prompt__key="2")
    assert (answer.state, answer.submitted_at, answer.accepted_at) == ("accepted", NOW, NOW)
    assert list(Generation.objects.filter(pk__in=answer.order, source="c.png")) == [
        Generation.objects.get(pk=answer.order[0])
    ]
    placed = answer.ranking.placements.order_by("pk").values_list("generation__source", "slot")
    assert list(placed) == [("c.png", 5), ("a.png", 2)]
    assert all(generation.image for generation in Generation.objects.all())


def test_an_imports_answers_are_put_down_to_nobody_who_can_sign_in(project, written, foxes):
    import_rankings(project=project, file=written("r.json", [ranking_row()]), now=NOW)
    annotator = User.objects.get(username="imported:r")
    assert not annotator.is_active
    assert not annotator.has_usable_password()
    assert Assignment.objects.get().annotator == annotator


def test_the_same_rankings_twice_bring_nothing_new(project, written, foxes):
    file = written("r.json", [ranking_row()])
    import_rankings(project=project, file=file, now=NOW)
    again = import_rankings(project=project, file=file, now=NOW + timedelta(days=1))
    assert (again.rankings, again.prompts, again.images, again.known) == (0, 0, 0, 1)
    assert Placement.objects.count() == 3


def test_another_ranking_of_the_same_prompt_from_the_same_file_is_refused(project, written, foxes):
    import_rankings(project=project, file=written("r.json", [ranking_row()]), now=NOW)
    with pytest.raises(ImportRefused, match=r"r\.json, row 1: another ranking of '1' is known"):
        import_rankings(project=project, file=written("r.json", [ranking_row(ranking=[3, 2, 1])]), now=NOW)
    other = written("s.json", [ranking_row(ranking=[3, 2, 1])])
    assert import_rankings(project=project, file=other, now=NOW).rankings == 1


def test_missing_images_stop_an_import_unless_it_is_told_to_do_without(project, written, media):
    file = written(
        "r.json", [ranking_row(), ranking_row(key="2", generations=["d.png", "e.png"], ranking=[1, 2])]
    )
    with pytest.raises(
        ImportRefused, match=r"r\.json: 5 of 5 image files are missing .*: a\.png, b\.png, c\.png \.\.\."
    ):
        import_rankings(project=project, file=file, now=NOW)
    assert nothing_written(media)
    done = import_rankings(project=project, file=file, now=NOW, without_images=True)
    assert (done.rankings, done.images) == (2, 5)
    assert not Generation.objects.filter(image__isnull=False).exists()


def test_images_that_came_later_find_their_rankings(project, written, foxes):
    file = written("r.json", [ranking_row()])
    import_rankings(project=project, file=file, now=NOW, without_images=True)
    manifest = written("m.jsonl", [manifest_row(["a.png", "b.png", "c.png"])])
    assert import_generations(project=project, manifest=manifest).images == 3
    assert Generation.objects.filter(image__isnull=False).count() == Generation.objects.count() == 3
    assert not Assignment.objects.exclude(state="accepted").exists()


def test_images_the_project_has_are_not_asked_for(project, written, foxes, tmp_path):
    import_generations(
        project=project, manifest=written("m.jsonl", [manifest_row(["a.png", "b.png", "c.png"])])
    )
    for name in ("a.png", "b.png", "c.png"):
        (tmp_path / name).unlink()
    assert import_rankings(project=project, file=written("r.json", [ranking_row()]), now=NOW).images == 0


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([ranking_row(), ranking_row()], "row 2: id '1' was in row 1"),
        ([ranking_row(ranking=[1, 2])], "row 1: 'ranking' has 2 slots for 3 images"),
        ([ranking_row(ranking=[1, 2, 6])], "row 1: 'ranking' is 6, not a whole number from 1 to 5"),
        ([ranking_row(ranking=[0, 2, 3])], "row 1: 'ranking' is 0"),
        ([ranking_row(ranking=[1, 2.0, 3])], "row 1: 'ranking' is 2.0"),
        ([ranking_row(ranking=[1, True, 3])], "row 1: 'ranking' is True"),
        ([ranking_row(ranking=[2, 2, 2])], "row 1: slot 2 has 3 images, and may have 2"),
        ([ranking_row(generations=["a.png"], ranking=[1])], "row 1: fewer than two images"),
        ([ranking_row(generations=["a.png", "a.png", "b.png"])], "row 1: 'generations' has 'a.png' twice"),
        ([ranking_row(generations=["a.png", "../b.png", "c.png"])], "row 1: '../b.png' lies outside"),
        ([ranking_row(generations=["a.png", "x" * 400, "c.png"])], "1 of 6 image files are missing"),
        ([ranking_row(generations=["a.png", "text.png", "c.png"])], "text.png: is no PNG, JPEG or WebP"),
        ([ranking_row(generations=[f"{i}.png" for i in range(11)], ranking=[1] * 11)], "row 1: 11 images"),
        ([{**ranking_row(), "generations": "a.png"}], "row 1: 'generations' is no list"),
        ([ranking_row(rank=3)], "row 1: unknown field 'rank'"),
        ([ranking_row(key="")], "row 1: 'id' is no text"),
        ([], "has no rows"),
    ],
)
def test_a_bad_file_of_rankings_is_refused_by_name_and_row(project, written, foxes, media, rows, says):
    written("text.png", "no picture")
    good = ranking_row(key="good")
    with pytest.raises(ImportRefused) as refused:
        import_rankings(project=project, file=written("r.json", rows and [*rows, good]), now=NOW)
    assert says in str(refused.value)
    assert "r.json" in str(refused.value)
    assert nothing_written(media)
    assert not User.objects.filter(username__startswith="imported:").exists()


def parquet_rows():
    """Two prompts of ImageRewardDB, their rows interleaved."""
    return [
        {
            "image_path": path,
            "prompt_id": key,
            "prompt": "a fox",
            "classification": kind,
            "image_amount_in_total": 2,
            "rank": rank,
            "overall_rating": 8 - rank,
            "image_text_alignment_rating": 5,
            "fidelity_rating": 6,
        }
        for key, path, kind, rank in [
            ("1", "a.png", "Outdoor Scenes", 1),
            ("2", "b.png", "World Knowledge", 2),
            ("1", "b.png", "Outdoor Scenes", 4),
            ("2", "c.png", "World Knowledge", 2),
        ]
    ]


def test_slots_that_an_admin_changed_while_the_file_was_read_refuse_it(project, written, foxes, media):
    """Before anything is open settings are free: what was checked has to hold when it is written."""
    file = written("r.json", [ranking_row(ranking=[1, 5, 5])])
    change_settings(project=Project.objects.get(pk=project.pk), slots=3)
    with pytest.raises(ImportRefused, match="slots or axes were changed meanwhile; import it again"):
        import_rankings(project=project, file=file, now=NOW)
    assert nothing_written(media)
    project.refresh_from_db()
    with pytest.raises(ImportRefused, match="'ranking' is 5"):
        import_rankings(project=project, file=file, now=NOW)


@pytest.mark.django_db(transaction=True)
def test_slots_stay_as_they_are_while_rankings_are_written(project, written, foxes):
    def change(added):
        with pytest.raises(SettingsFrozen, match="slots"):
            threads.submit(change_slots).result()

    def change_slots():
        try:
            change_settings(project=project, slots=3)
        finally:
            connection.close()

    file = written("r.json", [ranking_row(ranking=[1, 5, 5])])
    with ThreadPoolExecutor(1) as threads:
        assert import_rankings(project=project, file=file, now=NOW, progress=change).rankings == 1


@pytest.mark.django_db(transaction=True)
def test_an_import_and_a_revision_of_an_answer_to_its_prompt_both_come_through(
    project, alice, a_prompt, written
):
    """The import holds the prompt, for which the revision waits with the project: it must not want that."""
    prompt, revisions = a_prompt(), []
    answer = submit(alice, project)
    names = [*prompt.generations.values_list("source", flat=True), "new.png"]
    written("new.png", picture(1))
    rows = [ranking_row(prompt.key, names, (1, 2, 3, 4), prompt=prompt.text, annotator=who) for who in "xy"]

    def change():
        try:
            revise(answer, (3, 2, 1))
        finally:
            connection.close()

    def let_it_wait(added):
        if revisions:
            return
        revisions.append(threads.submit(change))
        with connection.cursor() as cursor:
            while not cursor.rowcount > 0:
                assert not revisions[0].done(), revisions[0].result()
                cursor.execute(BLOCKED)

    with ThreadPoolExecutor(1) as threads:
        done = import_rankings(project=project, file=written("r.json", rows), now=NOW, progress=let_it_wait)
        revisions[0].result()
    assert (done.rankings, done.images) == (2, 1)
    assert slots_of(answer) == (3, 2, 1)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"ranking": [3, 2, 1]}, "another ranking of '1' is known from imported:r"),
        ({"prompt": "a cat"}, "prompt '1' is known with another text"),
        (
            {"generations": ["a.png", "b.png", "copy.png"], "annotator": "bob"},
            "copy.png is the same picture as c.png",
        ),
    ],
)
def test_no_file_is_stored_of_an_import_that_the_project_refuses(
    project, written, foxes, media, changes, says
):
    import_rankings(project=project, file=written("r.json", [ranking_row()]), now=NOW)
    stored = set(media.rglob("*.*"))
    for name, shade in (("d.png", 7), ("e.png", 8), ("copy.png", 2)):
        written(name, picture(shade))
    new = ranking_row(key="2", generations=["d.png", "e.png"], ranking=[1, 2])
    with pytest.raises(ImportRefused, match=says):
        import_rankings(project=project, file=written("r.json", [new, ranking_row(**changes)]), now=NOW)
    assert set(media.rglob("*.*")) == stored


def imported_parquet(project, tmp_path, rows):
    file = tmp_path / "metadata-train.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    return import_rankings(project=project, file=file, now=NOW)


@pytest.mark.parametrize(
    ("splits", "says"),
    [
        ("dev dev dev dev", "row 1: 'split' is 'dev', which is none of train, validation, test"),
        ("test test train test", "row 3: 'split' differs from row 1"),
    ],
)
def test_rows_of_no_split_or_of_two_are_refused(project, foxes, media, tmp_path, splits, says):
    rows = [{**row, "split": split} for row, split in zip(parquet_rows(), splits.split(), strict=True)]
    with pytest.raises(ImportRefused, match=says):
        imported_parquet(project, tmp_path, rows)
    assert nothing_written(media)


def test_imagerewarddb_brings_labels_and_ratings_whose_problems_are_not_known(project, foxes, tmp_path):
    assert imported_parquet(project, tmp_path, parquet_rows()).rankings == 2
    answer = Assignment.objects.get(prompt__key="1")
    assert (answer.label.category, answer.label.issues) == ("outdoor", None)
    rating = Rating.objects.get(assignment=answer, generation__source="b.png")
    assert (rating.overall, rating.alignment, rating.fidelity, rating.problems) == (4, 5, 6, None)
    slots = answer.ranking.placements.values_list("generation__source", "slot")
    assert dict(slots) == {"a.png": 1, "b.png": 4}


@pytest.mark.parametrize(
    ("row", "change", "says"),
    [
        (3, {"image_amount_in_total": 3}, "row 4: prompt '2' has 2 rows"),
        (2, {"rank": 6}, "row 3: 'rank' is 6"),
        (2, {"overall_rating": 8}, "row 3: 'overall_rating' is 8"),
        (2, {"prompt": "a cat"}, "row 3: 'prompt' differs from row 1"),
        (2, {"image_path": "a.png"}, "row 3: 'a.png' is there twice"),
        (3, {"prompt_id": "3"}, "has 1 rows"),
        (3, {"image_path": f"{'x' * 400}/c.png"}, "1 of 4 image files are missing"),
    ],
)
def test_a_bad_row_of_imagerewarddb_is_refused(project, foxes, media, tmp_path, row, change, says):
    rows = parquet_rows()
    rows[row] |= change
    with pytest.raises(ImportRefused) as refused:
        imported_parquet(project, tmp_path, rows)
    assert says in str(refused.value)
    assert nothing_written(media)
