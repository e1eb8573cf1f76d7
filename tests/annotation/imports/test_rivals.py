"""Files of other annotation systems and published datasets, as they really look."""

import base64
import json

import pyarrow
import pytest
from pyarrow import parquet

from annotation.services.exports import export_to_folder
from annotation.services.imports import ImportRefused, import_prompts, import_rankings
from tests.annotation.imports.rows import nothing_written
from tests.annotation.judged import pictures, said
from tests.cast import NOW, picture

USER = "ec8e3f0c-69ba-40be-9390-e9e484001a13"


def task(result, data, number=1, by=1, **annotation):
    """A task of an export that Label Studio 1.23.2 wrote of type JSON, without what it says of dates."""
    told = {"id": number, "completed_by": by, "was_cancelled": False, "ground_truth": False}
    told |= {"lead_time": 12.3, "prediction": {}, "result_count": 1, "result": [result], **annotation}
    fields = {"drafts": [], "predictions": [], "meta": {}, "allow_skip": True, "inner_id": 1, "project": 1}
    return {"id": number, "annotations": [told], "data": {"prompt": "a fox", **data}, **fields}


def listed(*names):
    items = [{"id": name, "html": f"<img src='/data/local-files/?d=pics/{name}'>"} for name in names]
    return {"images": items}


def ranker(value):
    return {"from_name": "rank", "to_name": "images", "type": "ranker", "value": {"ranker": value}}


def pairwise(selected, to="img1,img2"):
    return {"from_name": "pw", "to_name": to, "type": "pairwise", "value": {"selected": selected}}


def rating(stars):
    return {"from_name": "overall", "to_name": "image", "type": "rating", "value": {"rating": stars}}


def chosen(name, values):
    return {"from_name": name, "to_name": "prompt", "type": "choices", "value": {"choices": values}}


def response(value, user=USER, **more):
    return {"value": value, "user_id": user, **more}


def record(responses, **fields):
    """A record as `Dataset.to_disk` of argilla 2.8 writes it."""
    told = {"id": "p1", "metadata": {}, "suggestions": {}, "vectors": {}, "status": "completed"}
    return {"fields": {"prompt": "a fox", **fields}, "responses": responses, "_server_id": None, **told}


def ranked(*ranks):
    return [response([{"value": f"image_{i}", "rank": rank} for i, rank in enumerate(ranks, 1)])]


URLS = {"image_1": "http://x/a.png", "image_2": "http://x/b.png"}
BOTH = {"img1": "pics/a.png", "img2": "pics/b.png"}
NAMES = {"image_1": "a.png", "image_2": "b.png"}
CONFIG = """<View><Text name="t" value="$words"/><Image name="l" value="$left"/>
<Image name="r" value="$right"/><Pairwise name="pw" toName="l,r"/></View>"""
# Name of the file -> what is in it, and the slots of the first opinion that are in it.
READ = {
    "buckets": (
        [task(ranker({"slot-1": ["b.png"], "slot-3": ["a.png"]}), listed("a.png", "b.png"))],
        "b1 a3",
    ),
    "buckets of other names": (
        [task(ranker({"_": ["c.png"], "best": ["b.png"], "rest": ["a.png"]}), listed("a.png", "b.png"))],
        "b1 a2",
    ),
    "an order": ([task(ranker(["b.png", "a.png"]), listed("a.png", "b.png"))], "b1 a2"),
    "two images": ([task(pairwise("right"), BOTH)], "b1 a2"),
    "ratings": (
        [task(rating(3), {"image": "pics/a.png"}), task(rating(5), {"image": "pics/b.png"}, 2)],
        "b1 a2",
    ),
    "ranks": ([record({"ranking": ranked(2, 1)[:1]}, **NAMES)], "b1 a2"),
    "ranks, and a flag of another kind": (
        [record({"ranking": ranked(2, 1), "intent_unclear": [response([["yes"]])]}, **NAMES)],
        "b1 a2",
    ),
    "choices of other kinds": (
        [
            task(None, listed("a.png", "b.png"))
            | {"annotations": [{"result": [ranker(["b.png", "a.png"]), chosen("intent_unclear", {"a": 1})]}]}
        ],
        "b1 a2",
    ),
    "ratings of images": ([record({"q_1": [response(3)], "q_2": [response(3)]}, **NAMES)], "a1 b1"),
    "pairs, the better first": (
        [
            {"prompt": "a fox", "choice_dist": [12, 7], "confidence": 0.99, "path1": "pics/b.png"}
            | {"path2": "pics/a.png", "model1": "flux", "model2": "infinity"}
        ],
        "b1 a2",
    ),
    "triples": ([{"prompt": "a fox", "chosen": "pics/b.png", "rejected": "pics/a.png"}], "b1 a2"),
}


@pytest.mark.parametrize("name", READ)
def test_what_others_write_is_read(project, written, name):
    content, wanted = READ[name]
    folder = "" if name.startswith("rank") or "of images" in name else "pics/"
    for i, letter in enumerate("abc"):
        written(f"{folder}{letter}.png", picture(i))
    import_rankings(project=project, file=written("r.json", content), now=NOW)
    (slots,) = said(project)[0].values()
    short = {source.removeprefix("pics/")[0]: slot for source, slot in slots.items()}
    assert short == {word[0]: int(word[1:]) for word in wanted.split()}
    assert None not in pictures(project).values()


def test_a_labeling_config_beside_the_file_says_what_its_controls_show(project, written):
    written("labeling_config.xml", CONFIG)
    data = {"words": "an owl", "left": "http://x/a.png", "right": "http://x/b.png", "prompt": "no"}
    file = written("r.json", [task(pairwise("left", "l,r"), data)])
    import_rankings(project=project, file=file, now=NOW)
    assert said(project) == [{("task-1", "an owl"): {"http://x/a.png": 1, "http://x/b.png": 2}}]


@pytest.mark.parametrize("name", ["records.json", "records.jsonl"])
def test_pictures_within_a_record_are_taken_out_of_it(project, written, name):
    embedded = {
        each: f"data:image/png;base64,{base64.b64encode(picture(i)).decode()}" for i, each in enumerate(NAMES)
    }
    file = written(name, [record({"ranking": ranked(1, 1)}, **embedded)])
    assert import_rankings(project=project, file=file, now=NOW).images == 2
    assert None not in pictures(project).values()


@pytest.mark.parametrize("form", ["as datasets has it", "bytes"])
def test_pictures_of_triples_are_taken_out_of_their_table(project, tmp_path, form):
    for n in range(2):
        row = {"prompt": "a fox", "chosen": picture(2 * n), "rejected": picture(2 * n + 1)}
        if form != "bytes":
            row |= {side: {"bytes": row[side], "path": None} for side in ("chosen", "rejected")}
        parquet.write_table(pyarrow.Table.from_pylist([row]), tmp_path / f"train-{n}.parquet")
    done = import_rankings(project=project, file=tmp_path, now=NOW)
    assert (done.rankings, done.images) == (2, 4)
    assert None not in pictures(project).values()


WITHOUT_IDS = {
    "hpd": {"prompt": "a fox", "image_path": ["a.png", "b.png"], "human_preference": [1, 0]},
    "hpdv3": {"prompt": "a fox", "path1": "a.png", "path2": "b.png"},
    "argilla": {"fields": {"prompt": "a fox", **NAMES}, "responses": {"ranking": ranked(1, 2)}},
}


@pytest.mark.parametrize("format", WITHOUT_IDS)
def test_rows_without_an_id_are_known_again_and_differ_in_each_table_of_several(
    project, a_project, tmp_path, format
):
    table = pyarrow.Table.from_pylist([WITHOUT_IDS[format]])
    for n in range(2):
        parquet.write_table(table, tmp_path / f"train-{n}.parquet")
    for known in (0, 2):
        done = import_rankings(project=project, file=tmp_path, now=NOW, without_images=True)
        assert (done.rankings, done.known) == (2 - known, known)
    assert {prompt.key for prompt in project.prompts.all()} == {"train-0-1", "train-1-1"}
    alone = a_project()
    import_rankings(project=alone, file=tmp_path / "train-1.parquet", now=NOW, without_images=True)
    assert alone.prompts.get().key == "1"


@pytest.mark.parametrize("format", WITHOUT_IDS)
def test_rows_without_an_id_differ_from_those_of_a_file_that_was_imported_before(project, tmp_path, format):
    def imported(name, *texts):
        rows = [json.dumps(WITHOUT_IDS[format]).replace("a fox", text) for text in texts]
        file = tmp_path / f"{name}.jsonl"
        file.write_text("\n".join(rows))
        done = import_rankings(project=project, file=file, now=NOW, without_images=True)
        return done.rankings, done.known

    assert imported("train", "a fox", "a hare") == (2, 0)
    assert imported("test", "an owl") == (1, 0)
    assert imported("train", "a fox", "a hare") == (0, 2)
    assert imported("test", "an owl", "a cat") == (1, 1)
    assert {prompt.key for prompt in project.prompts.all()} == {"1", "2", "test-1", "test-2"}
    with pytest.raises(ImportRefused, match="row 2: prompt '2' is known with another text"):
        imported("train", "a fox", "a dog")


@pytest.mark.parametrize(
    ("name", "value"),
    [("thumbnail", picture(1)), ("artifact_map", [[0.5]]), ("thumbnail", {"bytes": picture(1), "path": "a"})],
)
def test_a_column_that_a_format_does_not_have_is_refused_whatever_it_holds(project, tmp_path, name, value):
    """Heat maps and pictures are not read, but nobody drops them unsaid."""
    file, row = tmp_path / "t.parquet", {"prompt": "a fox", "chosen": "a.png", "rejected": "b.png"}
    parquet.write_table(pyarrow.Table.from_pylist([row | {name: value}]), file)
    with pytest.raises(ImportRefused, match=rf"t\.parquet, row 1: unknown field '{name}'"):
        import_rankings(project=project, file=file, now=NOW, without_images=True)
    parquet.write_table(pyarrow.Table.from_pylist([{"prompt": "a fox", name: value}]), file)
    with pytest.raises(ImportRefused, match=rf"t\.parquet, row 1: unknown field '{name}'"):
        import_prompts(project=project, file=file)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (task(ranker({"slot-9": ["a.png"], "slot-1": ["b.png"]}), listed()), "'slot' is 9"),
        (task(ranker({"x": ["a.png"], "y": ["a.png"]}), listed()), "'a.png' is ranked twice"),
        (task(ranker("a.png"), listed()), "neither a list nor an object"),
        (task(pairwise("both"), BOTH), "'both', neither left nor right"),
        (
            task(pairwise("left"), {}),
            "which field the control 'img1' shows is not known: put labeling_config",
        ),
        (task(rating(3), {"image": "a.png"}), "fewer than two images"),
        (task({"type": "choices", "value": {"choices": ["x"]}}, {}), "no ranker, pairwise or rating result"),
        (task(ranker(["a", "b"]), {"prompt": ""}), "'prompt' is no text"),
        (task(ranker(["a", "b"]), {}, was_cancelled=True), "has no ranking"),
        (task(3, {}), "a result has no 'value'"),
        (record({"ranking": ranked(0, 1)}, **NAMES), "'rank' is 0"),
        (
            record({"ranking": ranked(1, 2)}, **NAMES) | {"metadata": {f"order_{USER}": "1 x"}},
            f"'order_{USER}' does not number the ranked images",
        ),
        (record({"x": ranked(1, 2), "y": ranked(1, 2)}, **NAMES), "more than one ranking question"),
        (record({"q": [response("good")]}, **NAMES), "no ranking, and no rating question"),
        (record({"q_1": [response(1)], "p_1": [response(1)]}, **NAMES), "'image_1' has several ratings"),
        (
            record(
                {f"q_{n}": [response(n)] for n in range(1, 7)},
                **{f"image_{n}": f"{n}.png" for n in range(1, 7)},
            ),
            "in 6 places, and the project has 5 slots",
        ),
        (record({"ranking": [response([], status="draft")]}, **NAMES), "has no ranking"),
        (record({"ranking": 3}, **NAMES), "the responses to 'ranking' are no list"),
        (task(ranker(["a", "b"]), {}, by="a\0"), "'annotator' holds a letter that is none"),
        (task(ranker(["a", "b"]), {}, by="x" * 65), "'annotator' is longer than 64"),
        ({"prompt": "a fox", "path1": "a.png", "path2": "a.png"}, "'a.png' is compared with itself"),
        ({"prompt": "a fox", "path1": "a.png"}, "field 'path2' is missing"),
        ({"prompt": "a fox", "chosen": "a.png", "rejected": 3}, "'rejected' is no text"),
        ({"prompt": "a fox", "chosen": "a", "rejected": "b", "margin": 1}, "unknown field 'margin'"),
    ],
)
def test_what_cannot_be_a_ranking_is_refused_by_its_row(project, written, media, row, says):
    with pytest.raises(ImportRefused, match=r"r\.json") as refused:
        import_rankings(project=project, file=written("r.json", [row]), now=NOW, without_images=True)
    assert says in str(refused.value)
    assert nothing_written(media)


def test_pairs_of_an_opinion_that_lacks_one_are_refused(project, a_project, written, tmp_path):
    rows = [{"id": "1", "prompt": "a fox", "generations": ["a", "b", "c"], "ranking": [1, 2, 3]}]
    import_rankings(project=project, file=written("i.json", rows), now=NOW, without_images=True)
    export_to_folder(project=project, format="hpdv3", folder=tmp_path / "out", now=NOW)
    first, *others = json.loads((tmp_path / "out/hpdv3.json").read_text())
    assert (first["choice_dist"], first["confidence"]) == ([1, 0], None)
    with pytest.raises(ImportRefused, match=r"'[ab]' and '[ab]' are in different slots"):
        import_rankings(project=a_project(), file=written("h.json", others), now=NOW, without_images=True)
    wrong = [first | {"slot1": 3}]
    with pytest.raises(ImportRefused, match="'a' is preferred, and its slot 3 is no better one"):
        import_rankings(project=a_project(), file=written("h.json", wrong), now=NOW, without_images=True)
