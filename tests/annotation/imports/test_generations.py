"""Importing images: all of a manifest or nothing of it, with a refusal that names file and row."""

import json

import pyarrow
import pytest
from pyarrow import parquet

from annotation.models import Assignment, Generation, Image
from annotation.services.imports import ImportRefused, import_generations, import_prompts
from annotation.services.projects.selections import (
    Choice,
    finish_selection,
    record_set,
    register_encoder,
    start_selection,
)
from tests.annotation.imports.rows import manifest_row, nothing_written
from tests.cast import NOW, huge_png, picture


def test_a_manifest_brings_prompts_and_images_and_opens_their_assignments(project, written, foxes):
    made = {"file": "c.png", "generator": "sd", "seed": 7, "parameters": {"steps": 40}}
    rows = [manifest_row(), {"prompt_id": "2", "prompt": "an owl", "images": [{"file": "a.png"}, made]}]
    ticks = []
    done = import_generations(project=project, manifest=written("m.jsonl", rows), progress=ticks.append)
    assert (done.prompts, done.images, done.assignments, sum(ticks)) == (2, 4, 2, 4)
    generation = Generation.objects.get(source="c.png")
    assert (generation.generator, generation.seed, generation.parameters) == ("sd", 7, {"steps": 40})
    assert generation.image.file.read() == picture(2)


def test_a_manifest_flags_images_and_translates_prompts(project, written, foxes):
    images = [{"file": "a.png", "flagged": True}, {"file": "b.png", "flagged": False}, {"file": "c.png"}]
    row = {**manifest_row(), "images": images, "translation": "ein Fuchs"}
    import_generations(project=project, manifest=written("m.jsonl", [row]))
    assert Generation.objects.get(is_flagged=True).source == "a.png"
    assert project.prompts.get().translation == "ein Fuchs"


def test_the_same_manifest_twice_brings_nothing_new(project, written, foxes):
    manifest = written("m.jsonl", [manifest_row()])
    import_generations(project=project, manifest=manifest)
    again = import_generations(project=project, manifest=manifest)
    assert (again.prompts, again.images, again.assignments) == (0, 0, 0)


def test_images_may_come_without_opening_assignments(project, written, foxes):
    import_generations(project=project, manifest=written("m.jsonl", [manifest_row()]), with_assignments=False)
    assert not Assignment.objects.exists()


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([manifest_row(), manifest_row()], "row 2: id '1' was in row 1"),
        ([manifest_row(["a.png", "gone.png"])], "row 1: {folder}/gone.png: is missing"),
        ([manifest_row(["a.png", "cut.png"])], "cut.png: is broken"),
        ([manifest_row(["a.png", "huge.png"])], "huge.png: has more than 64,000,000 pixels"),
        ([manifest_row(["a.png", "text.png"])], "text.png: is no PNG, JPEG or WebP"),
        ([manifest_row(["a.png", "a.png"])], "row 1: 'images' has 'a.png' twice"),
        ([manifest_row(["a.png", "twin.png"])], "row 1: twin.png is the same picture as a.png"),
        ([manifest_row(["../a.png", "b.png"])], "row 1: '../a.png' lies outside"),
        ([manifest_row(["b/../a.png", "b.png"])], "row 1: 'b/../a.png' lies outside"),
        ([manifest_row(["/etc/passwd", "b.png"])], "row 1: '/etc/passwd' lies outside"),
        ([manifest_row(["way-out/a.png", "b.png"])], "row 1: 'way-out/a.png' lies outside"),
        ([manifest_row([f"{i}.png" for i in range(11)])], "row 1: 11 images are more than the 10"),
        ([manifest_row(colour="red")], "row 1: unknown field 'colour'"),
        ([{**manifest_row(), "images": "a.png"}], "row 1: 'images' is no list"),
        ([{**manifest_row(), "images": ["a.png"]}], "row 1: an image is no object"),
        ([{**manifest_row(), "images": [{"file": "a.png", "size": 1}]}], "row 1: unknown field 'size'"),
        ([{**manifest_row(), "images": [{"file": "a.png", "seed": "x"}]}], "row 1: 'seed' is 'x'"),
        ([{**manifest_row(), "images": [{"file": "a.png", "parameters": 3}]}], "'parameters' is no object"),
        ([{**manifest_row(), "images": [{"file": "a.png", "flagged": 1}]}], "'flagged' is neither true"),
        ([{**manifest_row(), "translation": 3}], "'translation' is no text"),
        (
            [{**manifest_row(), "images": [{"file": "a.png", "parameters": {"x": float("nan")}}]}],
            "row 1: 'parameters' holds what JSON cannot",
        ),
        ([], "has no rows"),
    ],
)
def test_a_bad_manifest_is_refused_by_name_and_row_and_nothing_is_written(
    project, written, foxes, media, tmp_path, tmp_path_factory, rows, says
):
    noise = picture(1, "PNG", size=(64, 64))
    written("cut.png", noise[: len(noise) - 30])
    written("huge.png", huge_png())
    written("text.png", "no picture")
    written("twin.png", picture(0))
    (tmp_path / "way-out").symlink_to(tmp_path_factory.mktemp("elsewhere"))
    good = {**manifest_row(["a.png", "b.png"], key="good")}
    with pytest.raises(ImportRefused) as refused:
        import_generations(project=project, manifest=written("m.jsonl", rows and [*rows, good]))
    assert says.format(folder=tmp_path) in str(refused.value)
    assert "m.jsonl" in str(refused.value)
    assert nothing_written(media)


def test_an_image_that_differs_from_the_one_known_is_refused(project, written, foxes):
    manifest = written("m.jsonl", [manifest_row()])
    import_generations(project=project, manifest=manifest)
    written("a.png", picture(9))
    with pytest.raises(ImportRefused, match=r"m\.jsonl, row 1: a\.png is known as another picture"):
        import_generations(project=project, manifest=manifest)
    assert Generation.objects.count() == 2


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (manifest_row(["c.png"], prompt="a hare"), "prompt '1' is known with another text"),
        (manifest_row(["c.png", "a.png"]), "row 1: a.png is known as another picture"),
    ],
)
def test_of_what_the_project_cannot_take_no_file_is_stored(project, written, foxes, media, row, why):
    import_generations(project=project, manifest=written("m.jsonl", [manifest_row()]))
    written("a.png", picture(3))
    with pytest.raises(ImportRefused, match=why):
        import_generations(project=project, manifest=written("again.jsonl", [row]))
    assert Image.objects.count() == 2
    assert len([path for path in media.rglob("*") if path.is_file()]) == 2


@pytest.fixture
def diffusiondb(written, tmp_path):
    """A part folder: twelve images of a fox, two of an owl."""
    images = {}
    for i in range(14):
        written(f"part-000007/{i:02d}.png", picture(i))
        prompt = "a fox" if i < 12 else "an owl"
        images[f"{i:02d}.png"] = {"p": prompt, "se": i, "c": 7.0, "st": 50, "sa": "k_lms"}
    written("part-000007/part-000007.json", json.dumps(images))
    return tmp_path


@pytest.mark.parametrize("folder", ["part-000007", "."])
def test_diffusiondbs_folders_bring_their_prompts_with_as_many_images_as_can_be_placed(
    project, diffusiondb, folder
):
    done = import_generations(project=project, manifest=diffusiondb / folder)
    assert (done.prompts, done.images, done.left_out) == (2, 12, 2)
    assert [prompt.key for prompt in project.prompts.all()] == ["000007-0000", "000007-0001"]
    first = Generation.objects.first()
    assert (first.source, first.seed) == ("part-000007/00.png", 0)
    assert first.parameters == {"cfg": 7.0, "steps": 50, "sampler": "k_lms"}


@pytest.fixture
def table(written, tmp_path):
    """DiffusionDB's metadata: five images of a fox, of which two are one picture; one of an owl; two cats."""
    texts = ["a fox"] * 5 + ["an owl"] + ["a cat"] * 2
    rows = []
    for i, text in enumerate(texts):
        written(f"part-{i % 2:06d}/{i}.webp", picture(max(i, 1), "WEBP"))
        row = {"image_name": f"{i}.webp", "prompt": text, "part_id": i % 2, "seed": i, "step": 50}
        rows.append(row | {"cfg": 7.0, "sampler": 8, "user_name": "x", "image_nsfw": i / 4})
    file = tmp_path / "metadata.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    return file


@pytest.fixture
def choose(project):
    """Select these texts of the project's prompts, without the graph."""

    def choose(*texts):
        encoder = register_encoder(name="none", digest="0" * 64)
        selection = start_selection(
            project=project,
            config={},
            encoder=encoder,
            candidates=9,
            exact_duplicates=0,
            near_duplicates=0,
        )
        choices = [Choice(project.prompts.get(text=text).pk, 1.0, 1) for text in texts]
        record_set(selection=selection, prompts=9, choices=choices, covered=1, covered_by_chance=1.0)
        finish_selection(selection=selection, plane={}, now=NOW)

    return choose


def test_chosen_prompts_of_diffusiondbs_table_get_their_own_images_and_no_others(project, table, choose):
    import_prompts(project=project, file=table)
    choose("a fox", "an owl")
    done = import_generations(project=project, manifest=table, chosen_only=True, fewest=2, most=4)
    assert (done.prompts, done.images, done.assignments) == (0, 3, 1)
    assert (done.passed_over, done.left_out) == (1, 2)  # the owl; one beyond four, one picture twice
    fox = project.prompts.get(text="a fox")
    sources = ["part-000000/0.webp", "part-000000/2.webp", "part-000000/4.webp"]
    assert [*fox.generations.values_list("source", flat=True)] == sources
    assert Generation.objects.exclude(prompt=fox).count() == 0
    image = fox.generations.get(source="part-000000/2.webp")
    assert (image.seed, image.generator) == (2, "stable-diffusion")
    assert image.parameters == {"cfg": 7.0, "steps": 50, "sampler": 8}
    assert [*fox.generations.values_list("is_flagged", flat=True)] == [False, True, True]  # from 1/2 on


def test_chosen_prompts_of_a_manifest_or_of_folders_are_told_by_their_text(
    project, written, foxes, diffusiondb, choose
):
    manifest = written("m.jsonl", [manifest_row(), {**manifest_row(["c.png"], key="2"), "prompt": "an owl"}])
    import_prompts(project=project, file=manifest)
    choose("a fox")
    done = import_generations(project=project, manifest=manifest, chosen_only=True)
    assert (done.images, done.assignments, done.passed_over) == (2, 1, 0)
    choose("an owl")
    done = import_generations(project=project, manifest=diffusiondb, chosen_only=True, most=1)
    assert (done.prompts, done.images, done.left_out) == (0, 1, 1)
    held = Generation.objects.order_by("pk").values_list("prompt__key", "source")
    assert list(held) == [("1", "a.png"), ("1", "b.png"), ("2", "part-000007/12.png")]


def test_without_a_selection_or_a_chosen_prompt_nothing_is_imported(project, written, foxes, choose, media):
    manifest = written("m.jsonl", [manifest_row()])
    with pytest.raises(ImportRefused, match="no prompts were selected"):
        import_generations(project=project, manifest=manifest, chosen_only=True)
    import_prompts(project=project, file=written("p.txt", "an owl"))
    choose("an owl")
    with pytest.raises(ImportRefused, match="has no prompt that was chosen"):
        import_generations(project=project, manifest=manifest, chosen_only=True)
    assert not Generation.objects.exists()


def test_images_may_lie_elsewhere_than_their_list(project, written, foxes, tmp_path):
    (tmp_path / "lists").mkdir()
    manifest = written("lists/m.jsonl", [manifest_row()])
    assert import_generations(project=project, manifest=manifest, images=tmp_path).images == 2


def test_a_diffusiondb_folder_with_a_missing_image_is_refused(project, diffusiondb, media):
    (diffusiondb / "part-000007/03.png").unlink()
    with pytest.raises(ImportRefused, match=r"part-000007\.json, row 1: .*03\.png: is missing"):
        import_generations(project=project, manifest=diffusiondb)
    assert nothing_written(media)
