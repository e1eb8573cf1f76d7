from annotation.forms.accounts import ChangePasswordForm, SignInForm, TokenForm
from annotation.forms.exports import ExportForm
from annotation.forms.hours import PeriodForm
from annotation.forms.invitations import InvitationForm, JoiningForm
from annotation.forms.judgements import JudgementForm
from annotation.forms.projects import GuidelineForm, MemberForm, NewProjectForm, ProjectForm
from annotation.forms.quality import DecisionForm, ReasonForm
from annotation.forms.references import ReferenceForm
from annotation.forms.reviews import SendBackForm
from annotation.forms.skips import SkipForm
from annotation.forms.uploads import MaterialForm
from annotation.forms.webhooks import WebhookForm

__all__ = [
    "ChangePasswordForm",
    "DecisionForm",
    "ExportForm",
    "GuidelineForm",
    "InvitationForm",
    "JoiningForm",
    "JudgementForm",
    "MaterialForm",
    "MemberForm",
    "NewProjectForm",
    "PeriodForm",
    "ProjectForm",
    "ReasonForm",
    "ReferenceForm",
    "SendBackForm",
    "SignInForm",
    "SkipForm",
    "TokenForm",
    "WebhookForm",
]
