"""Whether a project's people prefer images for where they stand on the page."""

from __future__ import annotations

from django.db import connection

from annotation.models import Assignment, Project
from annotation.statistics.positions import PositionFigure, Wins, preferred_by_position

# The order of imported answers is that of the page only where their file says so. An image in slot s wins
# against those in worse slots; RANGE counts itself and those that tie with it along with the better ones.
WINS = """
WITH placed AS (
    SELECT prompt_id, array_position("order", generation_id) AS position,
        COUNT(*) OVER (PARTITION BY ranking_id) AS images,
        RANK() OVER by_slot AS rank,
        COUNT(*) OVER (by_slot RANGE UNBOUNDED PRECEDING) AS at_least_as_good
    FROM annotation_assignment AS assignment
    JOIN annotation_ranking AS ranking ON ranking.assignment_id = assignment.id
    JOIN annotation_placement AS placement ON placement.ranking_id = ranking.id
    WHERE project_id = %(project)s AND kind = %(kind)s AND state = %(state)s
        AND (claimed_at IS NOT NULL OR is_order_imported)
    WINDOW by_slot AS (PARTITION BY ranking_id ORDER BY slot)
)
SELECT prompt_id, position, COUNT(*),
    SUM(images - at_least_as_good + (at_least_as_good - rank) / 2.0)::float, SUM(images - 1)::int
FROM placed WHERE images > 1 AND position IS NOT NULL
GROUP BY prompt_id, position
"""


def position_figures(project: Project) -> list[PositionFigure]:
    """Return how often the images at each place are preferred in accepted rankings, in one query.

    Rankings whose order on the page is unknown are left out.
    """
    values: dict[str, int | str] = {
        "project": project.pk,
        "kind": str(Assignment.Kind.ORDINARY),
        "state": str(Assignment.State.ACCEPTED),
    }
    with connection.cursor() as cursor:
        cursor.execute(WINS, values)
        return preferred_by_position([Wins(*row) for row in cursor.fetchall()])
