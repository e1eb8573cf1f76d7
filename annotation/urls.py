"""Pages of this app."""

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from annotation.views import (
    agreement,
    assignments,
    exports,
    home,
    images,
    people,
    projects,
    prompts,
    quality,
    references,
    reviews,
)

urlpatterns = [
    path("", home.home, name="home"),
    path(
        "sign-in/",
        LoginView.as_view(template_name="annotation/sign_in.html", redirect_authenticated_user=True),
        name="sign-in",
    ),
    path("sign-out/", LogoutView.as_view(), name="sign-out"),
    path("images/<uuid:token>", images.image, name="image"),
    path("work/<slug:slug>/", assignments.work, name="work"),
    path("work/<slug:slug>/<uuid:token>/", assignments.submit, name="submit"),
    path("work/<slug:slug>/<uuid:token>/draft/", assignments.draft, name="draft"),
    path(
        "work/<slug:slug>/guideline/<int:version>/",
        assignments.acknowledge_guideline,
        name="acknowledge-guideline",
    ),
    path("inspect/", reviews.queue, name="inspection-queue"),
    path("inspect/<int:pk>/", reviews.answer, name="inspection"),
    path("inspect/<slug:slug>/people/", quality.people, name="quality"),
    path("inspect/<int:pk>/accept/", reviews.accept_answer, name="accept"),
    path("inspect/<int:pk>/send-back/", reviews.send_answer_back, name="send-back"),
    path("projects/", projects.projects, name="projects"),
    path("projects/new/", projects.new_project, name="new-project"),
    path("projects/<slug:slug>/", projects.overview, name="project"),
    path("projects/<slug:slug>/settings/", projects.settings, name="project-settings"),
    path("projects/<slug:slug>/guideline/", projects.guideline, name="project-guideline"),
    path("projects/<slug:slug>/people/", people.people, name="project-people"),
    path("projects/<slug:slug>/people/add/", people.add_person, name="add-person"),
    path("projects/<slug:slug>/people/<int:pk>/remove/", people.remove_person, name="remove-person"),
    path("projects/<slug:slug>/references/", references.references, name="references"),
    path("projects/<slug:slug>/references/answer/", references.answer_any, name="answer-reference"),
    path("projects/<slug:slug>/references/<int:pk>/", references.choose, name="choose-reference"),
    path("projects/<slug:slug>/references/<int:pk>/retire/", references.retire, name="retire-reference"),
    path("projects/<slug:slug>/agreement/", agreement.agreement, name="project-agreement"),
    path("projects/<slug:slug>/leaderboard/", agreement.leaderboard, name="project-leaderboard"),
    path("projects/<slug:slug>/prompts/", prompts.prompts, name="project-prompts"),
    path("projects/<slug:slug>/prompts/<int:pk>/", prompts.prompt, name="project-prompt"),
    path("projects/<slug:slug>/preferences.json", exports.preferences, name="export-preferences"),
]
