"""Many prompts with images and open assignments, written by SQL: a million of them in a minute."""

from __future__ import annotations

from django.db import connection

from annotation.models import Image, Membership, Project, User
from annotation.models.projects import Acknowledgement
from annotation.services.projects.projects import create_project

WORDS = "a fox in a castle by the sea at night, oil painting, highly detailed, dramatic light"

PROMPTS = """
    INSERT INTO annotation_prompt
        (project_id, key, text, translation, created_at, opinions_compared, published_split, is_of_study)
    SELECT %(project)s, 'p' || n, %(words)s || ' ' || n, '', now(), 0, '', false
    FROM generate_series(%(first)s, %(last)s) AS n
"""
# No file is ever read: all prompts show the same rows of images.
GENERATIONS = """
    INSERT INTO annotation_generation
        (prompt_id, image_id, source, generator, parameters, is_flagged, scored_by, scored_unseen,
        created_at)
    SELECT prompt.id, image.sha256, right(image.sha256, 2) || '.webp', 'benchmark', '{}', false, '', false,
        now()
    FROM annotation_prompt AS prompt
    CROSS JOIN (SELECT sha256 FROM annotation_image ORDER BY sha256 LIMIT %(images)s) AS image
    WHERE prompt.project_id = %(project)s
      AND NOT EXISTS (SELECT FROM annotation_generation AS made WHERE made.prompt_id = prompt.id)
"""
ASSIGNMENTS = """
    INSERT INTO annotation_assignment
        (project_id, prompt_id, kind, state, priority, "order", is_order_imported)
    SELECT %(project)s, prompt.id, 'ordinary', 'open', 0, '{}', false
    FROM annotation_prompt AS prompt CROSS JOIN generate_series(1, %(opinions)s)
    WHERE prompt.project_id = %(project)s
      AND NOT EXISTS (SELECT FROM annotation_assignment AS assignment WHERE assignment.prompt_id = prompt.id)
    ORDER BY prompt.id
"""


def make_people(count: int) -> list[User]:
    return User.objects.bulk_create(User(username=f"annotator-{n}", password="!") for n in range(count))


def make_images(count: int) -> None:
    Image.objects.bulk_create(
        Image(sha256=f"{n:064x}", file=f"{n}.webp", format="webp", width=512, height=512, bytes=1)
        for n in range(count)
    )


def make_project(slug: str, *, people: list[User], opinions: int = 1) -> Project:
    """A project with the paper's settings, its people members who have read the guideline."""
    admin, _ = User.objects.get_or_create(username="admin", is_superuser=True)
    project = create_project(
        slug=slug, name=slug, admin=admin, guideline="# Judge fairly", opinions_per_prompt=opinions
    )
    guideline = project.guidelines.get()
    Membership.objects.bulk_create(
        Membership(project=project, user=user, role="annotator") for user in people
    )
    Acknowledgement.objects.bulk_create(Acknowledgement(guideline=guideline, user=user) for user in people)
    return project


def open_work(project: Project, *, prompts: int, images: int) -> None:
    """Open as many opinions as the project wants on prompts until it has this number of prompts."""
    with connection.cursor() as cursor:
        # References are right as written, and checking millions of them one by one would take minutes.
        cursor.execute("SET session_replication_role = replica")
        values = {
            "project": project.pk,
            "words": WORDS,
            "first": project.prompts.count() + 1,
            "last": prompts,
            "images": images,
            "opinions": project.opinions_per_prompt,
        }
        for statement in (PROMPTS, GENERATIONS, ASSIGNMENTS):
            cursor.execute(statement, values)
        cursor.execute("SET session_replication_role = DEFAULT")
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("CHECKPOINT")
