"""What a browser posts for a task, and people who have begun."""

from annotation.models import Assignment
from annotation.services.projects import acknowledge


def filled_in(assignment, *, slots=None, overall=None, **changes):
    """All fields of a good answer, keyed as the form has them; `slots` and `overall` go by the order shown.

    A change of None leaves the field out.
    """
    places = slots or [1 + i // 2 for i in range(len(assignment.order))]
    stars = overall or [8 - place for place in places]
    fields = {"category": "animals", "issues": ["none"], "step": "rank", "at": "1"}
    for pk, place, star in zip(assignment.order, places, stars, strict=True):
        fields |= {
            f"rating-{pk}-overall": str(star),
            f"rating-{pk}-alignment": "4",
            f"rating-{pk}-fidelity": "4",
            f"rating-{pk}-problems": ["none"],
            f"slot-{pk}": str(place),
        }
    return {name: value for name, value in (fields | changes).items() if value is not None}


def begin(client, annotator, project):
    """Sign in, acknowledge the guideline, open the workspace. Returns the task in hand."""
    client.force_login(annotator)
    acknowledge(guideline=project.guidelines.first(), user=annotator)
    client.get(f"/work/{project.slug}/")
    return Assignment.objects.get(annotator=annotator, state=Assignment.State.LEASED)


def address(assignment):
    return f"/work/{assignment.project.slug}/{assignment.pk}/"
