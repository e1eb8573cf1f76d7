"""A reward model by its scores: the best and worst images, and the pairs that people decide otherwise."""

from itertools import combinations

import pytest

from annotation.models import Assignment, Generation, Image, Placement, User
from annotation.selectors.results.scores import (
    CLEAR,
    best_images,
    count_scored,
    disagreements,
    extreme_images,
)
from annotation.services.assignments.priorities import record_scores
from tests.rankings import add_images, rank_images

MODEL = "reward-7"


@pytest.fixture
def images(project):
    """Four images with files for each of twelve prompts."""
    made = add_images(project, 12, ["sd", "dalle", "glide", "mj"])
    for number, image in enumerate(Generation.objects.order_by("pk")):
        fields = {"format": "png", "width": 8, "height": 8, "bytes": 9}
        image.image = Image.objects.create(sha256=f"{number:064x}", file=f"{number}.png", **fields)
        image.save(update_fields=["image"])
    return made


def score(images, unseen=()):
    """Scores of each prompt's images, and the prompts that the model has not learned from."""
    numbers = {
        image.pk: number for prompt, scores in images for image, number in zip(prompt, scores, strict=True)
    }
    fresh = {image.pk for prompt, _ in images if prompt in unseen for image in prompt}
    record_scores(scores=numbers, scored_by=MODEL, unseen=fresh)


def people(project, *names):
    return [User.objects.create_user(name) for name in names]


def ids(scored):
    return [one.picture.generation for one in scored]


def test_the_best_and_the_worst_images_come_first_by_this_models_scores(project, images):
    score([(images[0], [4, 3, 2, 1]), (images[1], [-4, 9, 0, 0.5])])
    Generation.objects.filter(pk=images[0][1].pk).update(scored_by="another")
    assert ids(extreme_images(project, MODEL, count=2)) == [images[1][1].pk, images[0][0].pk]
    lowest = extreme_images(project, MODEL, count=1, lowest=True)
    assert [(one.picture.generation, one.score) for one in lowest] == [(images[1][0].pk, -4)]
    assert count_scored(project, MODEL) == (7, 48)


def test_images_of_studies_and_of_other_projects_are_not_among_them(project, images, a_project):
    score([(images[0], [4, 3, 2, 1]), (images[1], [5, 0, 0, 0])])
    images[1][0].prompt.is_of_study = True
    images[1][0].prompt.save(update_fields=["is_of_study"])
    assert ids(extreme_images(project, MODEL, count=1)) == [images[0][0].pk]
    assert count_scored(project, MODEL) == (4, 44)
    assert extreme_images(a_project(), MODEL, count=1) == []


def test_only_what_people_decided_clearly_is_a_disagreement(project, images):
    ann, ben, cat, dan = people(project, "ann", "ben", "cat", "dan")
    contested, clear, alike = images[:3]
    score([(one, [1, 2, 0, 0]) for one in (contested, clear, alike)])
    order = [1, 2, 8, 8]  # the first is better, though the model says the second
    other = [2, 1, 8, 8]
    for person, slots in ((ann, order), (ben, order), (cat, other)):
        rank_images(person, [(contested, slots)])
    for person, slots in ((ann, order), (ben, order), (cat, order), (dan, other)):
        rank_images(person, [(clear, slots)])
    rank_images(ann, [(alike, other)])
    (pair,) = disagreements(project, MODEL, count=5)
    assert (pair.preferred.picture.generation, pair.other.picture.generation) == (clear[0].pk, clear[1].pk)
    assert (pair.votes, pair.other_votes) == (CLEAR, 1)
    assert (pair.preferred.score, pair.other.score) == (1, 2)


def test_answers_that_are_not_accepted_or_no_preferences_have_no_vote(project, images):
    (ann,) = people(project, "ann")
    score([(images[0], [1, 2, 0, 0])])
    rank_images(ann, [(images[0], [1, 2, 8, 8])], state=Assignment.State.SUBMITTED)
    assert disagreements(project, MODEL, count=5) == []
    Assignment.objects.update(state="accepted", accepted_at="2026-03-14T09:00Z", kind="study")
    assert disagreements(project, MODEL, count=5) == []
    Assignment.objects.update(kind="ordinary")
    assert len(disagreements(project, MODEL, count=5)) == 1


def test_unseen_prompts_come_first_then_the_widest_and_each_prompt_once(project, images):
    ann, ben = people(project, "ann", "ben")
    learned, near, far, twice = images[:4]
    score(
        [(learned, [0, 9, 0, 0]), (near, [0, 1, 0, 0]), (far, [0, 3, 0, 0]), (twice, [0, 2, 0, 0])],
        [near, far, twice],
    )
    for person in (ann, ben):
        rank_images(person, [(one, [1, 2, 3, 3]) for one in (learned, near, twice)])
    rank_images(ann, [(far, [1, 2, 3, 3])])
    pairs = disagreements(project, MODEL, count=4)
    # 2 votes at a distance of 2, 1 vote at 3, 2 votes at 1; what was learned from comes last.
    assert [pair.preferred.picture.prompt for pair in pairs] == [
        one[0].prompt_id for one in (twice, far, near, learned)
    ]
    assert [pair.is_unseen for pair in pairs] == [True, True, True, False]
    assert len(disagreements(project, MODEL, count=2)) == 2


def test_disagreements_are_those_found_pair_by_pair(project, images):
    ann, ben, cat = people(project, "ann", "ben", "cat")
    score([(one, [(7 * number + 3 * k) % 11 for k in range(4)]) for number, one in enumerate(images)], images)
    for turn, person in enumerate((ann, ben, cat)):
        rank_images(
            person,
            [(one, [1 + (k * (turn + number)) % 3 for k in range(4)]) for number, one in enumerate(images)],
        )
    best = {}
    for one in images:
        for a, b in combinations(Generation.objects.filter(prompt=one[0].prompt), 2):
            slots = [
                dict(
                    Placement.objects.filter(
                        ranking__assignment__annotator=who, generation__in=(a, b)
                    ).values_list("generation", "slot")
                )
                for who in (ann, ben, cat)
            ]
            low, high = sorted((a, b), key=lambda image: image.score)
            votes = sum(slot[low.pk] < slot[high.pk] for slot in slots)
            others = sum(slot[high.pk] < slot[low.pk] for slot in slots)
            if low.score < high.score and votes and votes >= CLEAR * others:
                key = ((votes - others) * (high.score - low.score), -low.pk, -high.pk)
                best[one[0].prompt_id] = max(best.get(one[0].prompt_id, key), key)
    expected = [(-low, -high) for _, low, high in sorted(best.values(), reverse=True)]
    pairs = disagreements(project, MODEL, count=12)
    assert [(pair.preferred.picture.generation, pair.other.picture.generation) for pair in pairs] == expected
    assert len(expected) > 5


def test_a_page_of_disagreements_takes_three_queries_at_most(project, images, django_assert_num_queries):
    score([(images[0], [1, 2, 0, 0])])
    rank_images(*people(project, "ann"), [(images[0], [1, 2, 8, 8])])
    with django_assert_num_queries(3):
        assert len(disagreements(project, MODEL, count=5)) == 1


def test_the_best_images_of_several_projects_come_in_one_query(
    project, images, a_project, django_assert_num_queries
):
    other = a_project()
    score([(images[0], [4, 3, 2, 1]), (images[1], [-4, 9, 0, 0.5])])
    (moved,) = images[2:3]
    moved[0].prompt.project = other
    moved[0].prompt.save(update_fields=["project"])
    record_scores(scores={moved[2].pk: 7.0, moved[3].pk: 8.0}, scored_by="base")
    with django_assert_num_queries(1):
        best = best_images({project.pk: MODEL, other.pk: "base"}, count=3)
    assert [picture.generation for picture in best[project.pk]] == [
        images[1][1].pk,
        images[0][0].pk,
        images[0][1].pk,
    ]
    assert [picture.generation for picture in best[other.pk]] == [moved[3].pk, moved[2].pk]
    assert best_images({}, count=3) == {}
