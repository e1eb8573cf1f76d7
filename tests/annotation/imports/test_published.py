"""Importing ImageRewardDB as it is published: zips, splits, and files that hold no picture."""

import shutil

import pytest
from django.core.management import call_command

from annotation.models import Action, Assignment, Generation, Placement, Prompt
from annotation.services.exports import export_to_folder
from annotation.services.imports import ImportRefused, import_rankings, rankings
from tests.annotation.imports.rows import nothing_written, ranking_row
from tests.cast import NOW, picture
from tests.published import publish

TEXTS = {
    "train": [f"a fox, take {n}" for n in range(6)],
    "validation": ["a cat", "a dog"],
    "test": ["an owl"],
}


def left_without_a_file():
    return set(Generation.objects.filter(image=None).values_list("prompt__key", flat=True))


def test_the_whole_folder_comes_in_with_its_splits(project, tmp_path):
    done = import_rankings(project=project, file=publish(tmp_path, TEXTS), now=NOW)
    assert (done.rankings, done.prompts, done.images, done.left_out) == (9, 9, 27, ())
    assert done.splits == {"train": 6, "validation": 2, "test": 1}
    for split, texts in TEXTS.items():
        assert list(Prompt.objects.filter(published_split=split).values_list("text", flat=True)) == texts
    assert all(generation.image for generation in Generation.objects.all())
    assert {answer.label.category for answer in Assignment.objects.all()} == {"outdoor"}


def test_one_split_may_be_imported_alone(project, tmp_path):
    file = publish(tmp_path, TEXTS) / "metadata-test.parquet"
    assert import_rankings(project=project, file=file, now=NOW).splits == {"test": 1}


def test_images_come_from_zips_or_from_where_somebody_unpacked_them(project, tmp_path):
    folder = publish(tmp_path, TEXTS)
    for pack in folder.rglob("*_2.zip"):  # somebody unpacked this one
        shutil.unpack_archive(pack, pack.with_suffix(""))
        pack.unlink()
    assert import_rankings(project=project, file=folder, now=NOW).images == 27


def test_the_repositorys_own_files_are_told_their_split(project, written, foxes):
    file = written("valid.json", [ranking_row()])
    assert import_rankings(project=project, file=file, now=NOW, split="validation").splits == {
        "validation": 1
    }
    assert Prompt.objects.get().published_split == "validation"
    again = import_rankings(project=project, file=file, now=NOW)
    assert (again.known, again.splits) == (1, {})
    assert Prompt.objects.get().published_split == "validation"


def test_a_split_can_be_told_later_but_not_be_another(project, written, foxes):
    file = written("valid.json", [ranking_row()])
    import_rankings(project=project, file=file, now=NOW)
    import_rankings(project=project, file=file, now=NOW, split="test")
    assert Prompt.objects.get().published_split == "test"
    with pytest.raises(ImportRefused, match=r"valid\.json, row 1: prompt '1' is known in split test"):
        import_rankings(project=project, file=file, now=NOW, split="train")


def test_a_split_that_contradicts_the_files_name_is_refused(project, tmp_path, media):
    file = publish(tmp_path, TEXTS) / "metadata-test.parquet"
    with pytest.raises(ImportRefused, match="is of the test split, as the file says, not of train"):
        import_rankings(project=project, file=file, now=NOW, split="train")
    assert nothing_written(media)


@pytest.mark.parametrize("with_images", [True, False])
def test_splits_are_in_an_export_and_come_back_from_it(project, a_project, tmp_path, with_images):
    import_rankings(project=project, file=publish(tmp_path / "in", TEXTS), now=NOW)
    Prompt.objects.filter(text="a dog").update(published_split="")
    out, elsewhere = tmp_path / "out", a_project()
    export_to_folder(project=project, format="imagerewarddb", folder=out, now=NOW, with_images=with_images)
    done = import_rankings(project=elsewhere, file=out / "metadata-train.parquet", now=NOW)
    assert done.splits == {"train": 6, "validation": 1, "test": 1}
    splits = Prompt.objects.order_by("text").values_list("text", "published_split")
    assert list(splits.filter(project=elsewhere)) == list(splits.filter(project=project))


BROKEN = {
    ("train-1", 0): b"",
    ("train-4", 2): picture(1)[:60],
    ("test-0", 1): b"no picture",
}


def test_a_broken_image_refuses_everything_unless_told_otherwise(project, tmp_path, media):
    folder = publish(tmp_path, TEXTS, broken=BROKEN)
    with pytest.raises(ImportRefused, match=r"train_1\.zip: train-1-0\.webp: is empty|no PNG|is broken"):
        import_rankings(project=project, file=folder, now=NOW)
    assert nothing_written(media)


def test_broken_images_are_named_and_their_rankings_come_without_them(project, tmp_path):
    folder = publish(tmp_path, TEXTS, broken=BROKEN)
    done = import_rankings(project=project, file=folder, now=NOW, skip_broken=True)
    assert (done.rankings, done.images) == (9, 27)
    none, empty, cut = sorted(done.left_out)
    assert empty.startswith("prompt train-1, images/train/train_1/train-1-0.webp: ")
    assert empty.endswith("train_1.zip: train-1-0.webp: is empty")
    assert "train-4-2.webp: is broken" in cut
    assert "is no PNG, JPEG or WebP image" in none
    assert left_without_a_file() == {"train-1", "train-4", "test-0"}
    assert Placement.objects.count() == 27


def test_a_file_that_was_mended_is_taken_by_the_next_import(project, tmp_path):
    import_rankings(project=project, file=publish(tmp_path, TEXTS, broken=BROKEN), now=NOW, skip_broken=True)
    again = import_rankings(project=project, file=publish(tmp_path, TEXTS), now=NOW, skip_broken=True)
    assert (again.rankings, again.known, again.left_out) == (0, 9, ())
    assert not left_without_a_file()


def test_a_missing_file_is_left_out_when_told_so(project, tmp_path):
    folder = publish(tmp_path, TEXTS)
    (folder / "images/train/train_2.zip").unlink()
    with pytest.raises(ImportRefused, match=r"6 of 27 image files are missing .*skip broken images"):
        import_rankings(project=project, file=folder, now=NOW)
    done = import_rankings(project=project, file=folder, now=NOW, skip_broken=True)
    assert len(done.left_out) == 6
    assert all(said.endswith("is missing") for said in done.left_out)
    assert left_without_a_file() == {"train-4", "train-5"}


def test_a_picture_that_is_there_twice_is_left_out_when_told_so(project, tmp_path):
    folder = publish(tmp_path, TEXTS, broken={("train-3", image): picture(0) for image in (0, 1)})
    with pytest.raises(ImportRefused, match=r"train-3-1\.webp is the same picture as .*train-3-0\.webp"):
        import_rankings(project=project, file=folder, now=NOW)
    done = import_rankings(project=project, file=folder, now=NOW, skip_broken=True)
    assert len(done.left_out) == 1
    assert "is the same picture as" in done.left_out[0]
    assert left_without_a_file() == {"train-3"}


def test_a_zip_that_was_cut_off_is_refused_by_name_even_then(project, tmp_path, media):
    """A download broke off: that is to be mended, not skipped."""
    folder = publish(tmp_path, TEXTS)
    pack = folder / "images/test/test_1.zip"
    pack.write_bytes(pack.read_bytes()[:100])
    with pytest.raises(ImportRefused, match=r"test_1\.zip: cannot be unpacked"):
        import_rankings(project=project, file=folder, now=NOW, skip_broken=True)
    assert nothing_written(media)


def test_an_import_that_was_interrupted_goes_on_where_it_stopped(project, tmp_path, monkeypatch):
    folder = publish(tmp_path, TEXTS, broken=BROKEN)
    monkeypatch.setattr(rankings, "STEP", 3)
    seen = []

    def stop(count):
        seen.append(count)
        if sum(seen) == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_rankings(project=project, file=folder, now=NOW, skip_broken=True, progress=stop)
    assert Assignment.objects.count() == 3
    assert Action.objects.filter(kind=Action.Kind.RANKINGS_ADDED).count() == 1
    done = import_rankings(project=project, file=folder, now=NOW, skip_broken=True)
    assert (done.rankings, done.known) == (6, 3)
    assert (Assignment.objects.count(), Generation.objects.count()) == (9, 27)


def test_a_prompt_whose_rankings_show_different_images_gets_all_of_them(project, written, foxes, monkeypatch):
    monkeypatch.setattr(rankings, "STEP", 1)
    rows = [
        ranking_row(generations=names, ranking=(1, 2), annotator=who)
        for names, who in ((("a.png", "b.png"), "ada"), (("b.png", "c.png"), "bob"))
    ]
    done = import_rankings(project=project, file=written("r.json", rows), now=NOW, skip_broken=True)
    assert (done.rankings, done.images, done.left_out) == (2, 3, ())
    assert not left_without_a_file()


def test_the_command_says_what_came_in_and_what_did_not(project, tmp_path, capsys):
    folder = publish(tmp_path, TEXTS, broken=BROKEN)
    call_command("import_rankings", project.slug, folder, skip_broken=True)
    said = capsys.readouterr()
    assert "9 rankings new" in said.out
    assert "published splits: 6 train, 2 validation, 1 test" in said.out
    assert "3 images left out" in said.out
    assert "prompt train-1, images/train/train_1/train-1-0.webp" in said.err
