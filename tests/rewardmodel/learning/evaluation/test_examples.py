"""Examples of an evaluation: the pairs on which the model is most confident, right and wrong."""

from pathlib import Path

from rewardmodel.learning.data.rankings import Ranking
from rewardmodel.learning.evaluation.examples import confident_pairs


def ranked(prompt, places, names="abc"):
    images = tuple(Path(f"{prompt}-{name}.png") for name in names)
    return Ranking(id=f"{prompt}{places}", prompt=prompt, images=images, places=places)


def names(pairs):
    return [(pair.preferred, pair.other) for pair in pairs]


def test_the_widest_pair_of_each_prompt_is_an_example_once():
    rankings = [ranked("fox", (1, 2, 3)), ranked("owl", (1, 2, 3))]
    right, wrong = confident_pairs([[3.0, 1.0, 2.5], [0.0, 4.0, 5.0]], rankings, count=5)
    assert names(right) == [("fox-a", "fox-b")]  # 2 apart; a over c is 0.5
    assert names(wrong) == [("owl-a", "owl-c"), ("fox-b", "fox-c")]
    assert (wrong[0].reward, wrong[0].other_reward) == (0.0, 5.0)
    assert names(confident_pairs([[3.0, 1.0, 2.5], [0.0, 4.0, 5.0]], rankings, count=1)[1]) == [
        ("owl-a", "owl-c")
    ]


def test_votes_of_several_people_are_put_together_and_the_majority_is_what_people_say():
    rankings = [ranked("fox", places, "ab") for places in ((1, 2), (1, 2), (2, 1), (1, 1))]
    right, wrong = confident_pairs([[2.0, 1.0]] * 4, rankings, count=5)
    assert [(pair.preferred, pair.votes, pair.other_votes) for pair in right] == [("fox-a", 2, 1)]
    assert wrong == []


def test_what_people_or_the_model_leave_open_is_no_example():
    split = [ranked("fox", places, "ab") for places in ((1, 2), (2, 1))]
    assert confident_pairs([[2.0, 1.0]] * 2, split, count=5) == ([], [])
    assert confident_pairs([[1.0, 1.0]], [ranked("owl", (1, 2), "ab")], count=5) == ([], [])


def test_the_same_image_of_two_prompts_has_a_reward_for_each():
    one, other = (
        Ranking(id=text, prompt=text, images=(Path("x.png"), Path("y.png")), places=(1, 2))
        for text in ("fox", "owl")
    )
    right, wrong = confident_pairs([[2.0, 1.0], [1.0, 3.0]], [one, other], count=5)
    assert [pair.prompt for pair in right] == ["fox"]
    assert [(pair.prompt, pair.reward) for pair in wrong] == [("owl", 1.0)]
