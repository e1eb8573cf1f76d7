"""What is said of a run that learned nothing."""

from rewardmodel.learning.training.alarm import find_alarm

BETTER = {"validation_accuracy": 0.61, "validation_accuracy_low": 0.55, "validation_accuracy_high": 0.66}
CHANCE = {"validation_accuracy": 0.53, "validation_accuracy_low": 0.47, "validation_accuracy_high": 0.59}


def points(first, last, *validations):
    """Eight steps whose loss goes from one value to the other, with validations from the fourth on."""
    measured = [(step, {"loss": first if step < 5 else last}) for step in range(1, 9)]
    for (_, values), validation in zip(measured[3:], validations, strict=False):
        values.update(validation)
    return measured


def test_a_run_that_learned_raises_none():
    assert find_alarm(points(0.69, 0.6, CHANCE, BETTER)) == ""


def test_an_accuracy_that_chance_explains_at_the_end_is_told():
    assert find_alarm(points(0.69, 0.6, BETTER, CHANCE)) == (
        "This run shows no sign of having learned: at its end it orders 53.0 % of the validation pairs "
        "right, not surely more than a coin would (95 % interval 47.0 to 59.0 % over prompts)."
    )


def test_a_loss_that_did_not_fall_is_told():
    assert find_alarm(points(0.69, 0.69, BETTER)) == (
        "This run shows no sign of having learned: its loss did not fall: "
        "0.690 over the first quarter of its steps, 0.690 over the last."
    )


def test_both_are_told_in_one_sentence():
    said = find_alarm(points(0.69, 0.7, CHANCE))
    assert "% over prompts), and its loss did not fall: 0.690" in said


def test_of_too_few_steps_and_prompts_nothing_is_said():
    assert find_alarm([(1, {"loss": 0.69}), (2, {"loss": 0.8, "validation_accuracy": 0.5})]) == ""
