from annotation.models.actions import Action
from annotation.models.assignments import Assignment, ShownImage
from annotation.models.exports import Export
from annotation.models.images import Image
from annotation.models.invitations import Invitation
from annotation.models.judgements import Category, Issue, Placement, Problem, PromptLabel, Ranking, Rating
from annotation.models.pauses import Pause
from annotation.models.people import Membership, User
from annotation.models.projects import Acknowledgement, Guideline, Project
from annotation.models.prompts import Generation, Prompt
from annotation.models.qualifications import Qualification
from annotation.models.references import Check, Reference
from annotation.models.reviews import Review
from annotation.models.revisions import Revision
from annotation.models.selections import ChosenPrompt, Encoder, PromptSelection, TextVector
from annotation.models.sign_ins import SignInAttempt
from annotation.models.skips import Skip
from annotation.models.tokens import ApiToken
from annotation.models.webhooks import Delivery, Event, Kind, Webhook

__all__ = [
    "Acknowledgement",
    "Action",
    "ApiToken",
    "Assignment",
    "Category",
    "Check",
    "ChosenPrompt",
    "Delivery",
    "Encoder",
    "Event",
    "Export",
    "Generation",
    "Guideline",
    "Image",
    "Invitation",
    "Issue",
    "Kind",
    "Membership",
    "Pause",
    "Placement",
    "Problem",
    "Project",
    "Prompt",
    "PromptLabel",
    "PromptSelection",
    "Qualification",
    "Ranking",
    "Rating",
    "Reference",
    "Review",
    "Revision",
    "ShownImage",
    "SignInAttempt",
    "Skip",
    "TextVector",
    "User",
    "Webhook",
]
