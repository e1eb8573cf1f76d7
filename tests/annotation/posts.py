"""What a browser posts for a task, and people who have begun."""

from annotation.models import Assignment
from annotation.services.projects.projects import acknowledge


def filled_in(assignment, *, slots=None, overall=None, **changes):
    """All fields of a good answer, as the form names them; `slots` and `overall` go by the order shown.

    A change of None leaves the field out.
    """
    places = slots or [1 + i // 2 for i in range(len(assignment.order))]
    stars = overall or [8 - place for place in places]
    fields = {
        "claim": assignment.claim,
        "category": "animals",
        "issues": ["none"],
        "step": "rank",
        "at": "1",
    }
    for number, (place, star) in enumerate(zip(places, stars, strict=True), start=1):
        fields |= {
            f"rating-{number}-overall": str(star),
            f"rating-{number}-alignment": "4",
            f"rating-{number}-fidelity": "4",
            f"rating-{number}-problems": ["none"],
            f"slot-{number}": str(place),
        }
    return {name: value for name, value in (fields | changes).items() if value is not None}


def left_as_draft(assignment, **fields):
    """What the page posts of an unfinished answer."""
    return {"claim": assignment.claim, **fields}


def begin(client, annotator, project):
    """Sign in, acknowledge the guideline, open the workspace. Returns the task in hand."""
    client.force_login(annotator)
    acknowledge(guideline=project.guidelines.first(), user=annotator)
    client.get(f"/work/{project.slug}/")
    return Assignment.objects.get(annotator=annotator, state=Assignment.State.LEASED)


def address(assignment):
    return f"/work/{assignment.project.slug}/{assignment.token}/"
