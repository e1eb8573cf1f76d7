from annotation.models.actions import Action, Seal
from annotation.models.assignments import Assignment, ShownImage, Skip
from annotation.models.exports import Export
from annotation.models.images import Image
from annotation.models.invitations import Invitation
from annotation.models.jobs import Job, JobManager, JobQuerySet
from annotation.models.judgements import (
    Category,
    Issue,
    Placement,
    Problem,
    PromptLabel,
    Ranking,
    Rating,
    Revision,
)
from annotation.models.mails import RequestedMail
from annotation.models.pauses import Pause
from annotation.models.people import ApiToken, Membership, SignInAttempt, User
from annotation.models.projects import Acknowledgement, Guideline, Project
from annotation.models.prompts import Generation, Prompt
from annotation.models.qualifications import Qualification
from annotation.models.rates import RequestCount
from annotation.models.references import Check, Reference
from annotation.models.reviews import Review
from annotation.models.selections import ChosenPrompt, Encoder, PromptSelection, TextVector
from annotation.models.sessions import BrowserSession
from annotation.models.stored_files import FileDigest, FileFault, FileRound, LooseObject, StoredFile
from annotation.models.unsent_forms import UnsentForm
from annotation.models.uploads import Upload
from annotation.models.webhooks import Delivery, Event, Webhook

__all__ = [
    "Acknowledgement",
    "Action",
    "ApiToken",
    "Assignment",
    "BrowserSession",
    "Category",
    "Check",
    "ChosenPrompt",
    "Delivery",
    "Encoder",
    "Event",
    "Export",
    "FileDigest",
    "FileFault",
    "FileRound",
    "Generation",
    "Guideline",
    "Image",
    "Invitation",
    "Issue",
    "Job",
    "JobManager",
    "JobQuerySet",
    "LooseObject",
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
    "RequestCount",
    "RequestedMail",
    "Review",
    "Revision",
    "Seal",
    "ShownImage",
    "SignInAttempt",
    "Skip",
    "StoredFile",
    "TextVector",
    "UnsentForm",
    "Upload",
    "User",
    "Webhook",
]
