"""Tasks with all that their pages show."""

from __future__ import annotations

from uuid import UUID

from annotation.models import Assignment, Project, Prompt, User
from annotation.selectors.assignments.standings import WORKING
from annotation.statements import Row, columns, fetch_one, made_of

# The images of a prompt that have files, as a list in JSON: Assignment.showable reads it.
SHOWN = """
    COALESCE(
        (
            SELECT json_agg(json_build_object(
                'generation_id', made.id, 'is_flagged', made.is_flagged,
                'token', image.token, 'width', image.width, 'height', image.height
            ) ORDER BY made.id)
            FROM annotation_generation AS made JOIN annotation_image AS image ON image.sha256 = made.image_id
            WHERE made.prompt_id = prompt.id
        ),
        '[]'
    )
"""
TASK = f"""
    SELECT {columns(Project, "project")}, {columns(Assignment, "task")}, {columns(Prompt, "prompt")}, {SHOWN}
    FROM annotation_assignment AS task
    JOIN annotation_project AS project ON project.id = task.project_id
    JOIN annotation_prompt AS prompt ON prompt.id = task.prompt_id
    LEFT JOIN annotation_membership AS membership
        ON membership.project_id = project.id AND membership.user_id = %(annotator)s
    WHERE task.token = %(token)s AND task.annotator_id = %(annotator)s AND project.slug = %(slug)s
        AND (%(is_superuser)s OR membership.role = ANY(%(working)s))
"""


def own_task(slug: str, annotator: User, token: UUID) -> Assignment | None:
    """The task, if it is in this person's hands or was, and they still work in the project of that slug."""
    row = fetch_one(
        TASK,
        {
            "slug": slug,
            "annotator": annotator.pk,
            "token": token,
            "is_superuser": annotator.is_superuser,
            "working": list(WORKING),
        },
    )
    return task_of(*made_of(Project, row)) if row else None


def task_of(project: Project, row: Row) -> Assignment:
    """What was selected of an assignment, its prompt and SHOWN, in this order."""
    task, row = made_of(Assignment, row)
    task.prompt, (vars(task)["shown"],) = made_of(Prompt, row)
    task.project = task.prompt.project = project
    return task
