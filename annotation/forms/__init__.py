from annotation.forms.judgements import JudgementForm
from annotation.forms.projects import GuidelineForm, MemberForm, NewProjectForm, ProjectForm
from annotation.forms.references import ReferenceForm
from annotation.forms.reviews import SendBackForm

__all__ = [
    "GuidelineForm",
    "JudgementForm",
    "MemberForm",
    "NewProjectForm",
    "ProjectForm",
    "ReferenceForm",
    "SendBackForm",
]
