"""What somebody is in a project's workspace, and whether they may be given work there."""

from __future__ import annotations

from dataclasses import dataclass

from annotation.models import Guideline, Membership, Project, Qualification, User
from annotation.statements import columns, fetch_one, made_of

Role = Membership.Role
# Annotators are given work; researchers and admins answer in the same place what others are compared with.
WORKING = (Role.ANNOTATOR, Role.RESEARCHER, Role.ADMIN)


@dataclass(frozen=True)
class Standing:
    """Somebody's role, the newest version of the guideline, and whether they still have to acknowledge it.

    `paused` says why somebody gets no work; `outcome` is of their qualification, None where untested.
    """

    project: Project
    role: str
    guideline: Guideline
    is_reading_due: bool
    paused: str | None
    outcome: str | None

    @property
    def annotates(self) -> bool:
        return self.role == Role.ANNOTATOR

    @property
    def is_qualified(self) -> bool:
        return not self.project.requires_qualification or self.outcome == Qualification.Outcome.QUALIFIED

    @property
    def is_refused(self) -> bool:
        return not self.is_qualified and self.outcome is not None


# Of %(user)s, in the project that {project} names.
PAUSE = """
    SELECT pause.reason FROM annotation_pause AS pause
    WHERE pause.project_id = {project} AND pause.user_id = %(user)s AND pause.lifted_at IS NULL
"""
OUTCOME = """
    SELECT decided.outcome FROM annotation_qualification AS decided
    WHERE decided.project_id = {project} AND decided.user_id = %(user)s
    ORDER BY decided.id DESC LIMIT 1
"""
# A superuser is an admin everywhere and needs no membership.
STANDING = f"""
    SELECT {columns(Project, "project")}, {columns(Guideline, "guideline")},
        COALESCE(membership.role, 'admin'),
        NOT EXISTS (
            SELECT FROM annotation_acknowledgement AS read
            WHERE read.guideline_id = guideline.id AND read.user_id = %(user)s
        ),
        ({PAUSE.format(project="project.id")}),
        ({OUTCOME.format(project="project.id")})
    FROM annotation_project AS project
    LEFT JOIN annotation_membership AS membership
        ON membership.project_id = project.id AND membership.user_id = %(user)s
    JOIN annotation_guideline AS guideline ON guideline.project_id = project.id
    WHERE project.slug = %(slug)s AND (%(is_superuser)s OR membership.role = ANY(%(working)s))
    ORDER BY guideline.version DESC LIMIT 1
"""
# Two requests of one person wait here for each other.
LOCK = f"""
    SELECT
        NOT EXISTS ({PAUSE.format(project="%(project)s")}),
        ({OUTCOME.format(project="%(project)s")})
    FROM annotation_user AS person WHERE person.id = %(user)s
    FOR NO KEY UPDATE OF person
"""


def standing_in(slug: str, user: User) -> Standing | None:
    """How the user stands in the project, in one statement; None for people without a part in its work."""
    asked = {"slug": slug, "user": user.pk, "is_superuser": user.is_superuser, "working": list(WORKING)}
    row = fetch_one(STANDING, asked)
    if row is None:
        return None
    project, row = made_of(Project, row)
    guideline, (role, is_reading_due, paused, outcome) = made_of(Guideline, row)
    guideline.project = project
    return Standing(project, role, guideline, is_reading_due, paused, outcome)


def locked_for_work(user: User, project: Project) -> bool:
    """Lock the user until the transaction ends; false when a pause or a test keeps work from them."""
    row = fetch_one(LOCK, {"user": user.pk, "project": project.pk})
    assert row is not None  # who signs in is not deleted
    may_work, outcome = row
    return may_work and (not project.requires_qualification or outcome == Qualification.Outcome.QUALIFIED)
