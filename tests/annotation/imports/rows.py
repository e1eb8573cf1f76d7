"""Rows of files to import, and a look at what an import left behind."""

from annotation.models import Assignment, Generation, Image, Prompt, Ranking


def manifest_row(images=("a.png", "b.png"), key="1", **more):
    return {"prompt_id": key, "prompt": "a fox", "images": [{"file": name} for name in images], **more}


def ranking_row(key="1", generations=("a.png", "b.png", "c.png"), ranking=(1, 3, 3), **more):
    return {
        "id": key,
        "prompt": "a fox",
        "generations": list(generations),
        "ranking": list(ranking),
        **more,
    }


def nothing_written(media):
    rows = [model.objects.count() for model in (Prompt, Generation, Image, Assignment, Ranking)]
    return rows == [0] * 5 and not list(media.rglob("*.*"))
