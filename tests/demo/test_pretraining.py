"""What the shipped encoder learned from, and what it can tell."""

from pathlib import Path
from random import Random

import pytest
import torch

from demo.pretraining.encoder import GENERATOR, build_tokenizer, load_autoencoder, measure
from demo.pretraining.matching import (
    Attribute,
    attributes_of,
    contradict,
    draw_group,
    pictures,
    repaint,
    spoil,
)
from demo.pretraining.patches import ASPECTS, SHAPE_CLASSES, aspects_of, coverage, flaws_of
from demo.world.captions import SHAPES, Kind, Split, every_statement, parse, split_of
from demo.world.scenes import random_scene
from rewardmodel.learning import checkpoints, load

ENCODER = Path("demo/weights/encoder")


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def test_a_contradiction_is_another_caption_and_names_what_it_changes():
    chance = Random(0)
    statements = list(every_statement())
    for statement in chance.sample(statements, 300):
        for attribute in attributes_of(statement):
            other = contradict(statement, attribute, chance)
            assert parse(str(other)) == other != statement
            assert (other.background != statement.background) == (attribute is Attribute.BACKGROUND)
            assert (other.relation != statement.relation) == (attribute is Attribute.RELATION)
            if attribute is Attribute.BINDING:
                assert sorted(n.colour for n in other.nouns) == sorted(n.colour for n in statement.nouns)


def test_only_stated_backgrounds_and_related_things_can_be_wrong_about():
    related = parse("a red circle left of a blue square")
    assert Attribute.BACKGROUND not in attributes_of(related)
    assert {Attribute.RELATION, Attribute.BINDING} < set(attributes_of(related))
    assert Attribute.BINDING not in attributes_of(parse("a red circle left of a red square"))
    assert Attribute.COUNT in attributes_of(parse("two red circles on a black background"))


def test_captions_of_a_group_are_of_one_split_but_for_counts_and_none_is_true_of_two_scenes():
    chance = Random(0)
    for _ in range(100):
        captions = [str(scene.statement) for scene in draw_group(Split.GENERATOR, 4, chance)]
        assert split_of(captions[0]) is Split.GENERATOR
        for caption in captions[1:]:
            counted = len(parse(caption).nouns) != len(parse(captions[0]).nouns)
            assert split_of(caption) is Split.GENERATOR or counted
        meanings = set()
        for caption in captions:
            statement = parse(caption)
            turned = statement.relation in ("right of", "below")
            nouns = statement.nouns[::-1] if turned else statement.nouns
            axis = statement.kind is Kind.RELATED and statement.relation in ("left of", "right of")
            meanings.add((nouns, axis, statement.relation is None, statement.background))
        assert len(meanings) == 4


def test_patches_say_which_share_of_them_is_what():
    scenes = [random_scene(Random(seed)) for seed in range(20)]
    shares = coverage(scenes)
    assert shares.shape == (20, 64, 12)
    torch.testing.assert_close(shares[..., :SHAPE_CLASSES].sum(-1), torch.ones(20, 64))
    torch.testing.assert_close(shares[..., SHAPE_CLASSES:].sum(-1), torch.ones(20, 64))
    for scene, own in zip(scenes, shares, strict=True):
        shown = {SHAPES[place - 1] for place in range(1, SHAPE_CLASSES) if own[:, place].sum() > 0}
        assert shown == {thing.shape for thing in scene.things}


def test_spoiling_keeps_pictures_pictures_and_spoils_each_in_its_own_way():
    clean = pictures([random_scene(Random(1))] * 8)
    spoilt = spoil(clean, torch.Generator().manual_seed(0))
    assert spoilt.shape == clean.shape
    assert spoilt.min() >= 0
    assert spoilt.max() <= 1
    assert len({round(picture.mean().item(), 6) for picture in spoilt}) > 4


def test_an_autoencoder_paints_every_second_picture_anew_and_leaves_what_it_shows():
    clean = pictures([random_scene(Random(seed)) for seed in range(8)])
    painted = repaint(clean, load_autoencoder(GENERATOR), torch.Generator().manual_seed(0))
    assert torch.equal(painted[1::2], clean[1::2])
    off = (painted - clean)[::2].abs().mean(dim=(1, 2, 3))
    assert off.min() > 0.001
    assert off.max() < 0.1


def test_flaws_are_what_differs_from_a_clean_picture_beyond_a_tint():
    clean = pictures([random_scene(Random(1))])
    tinted, grainy = clean * 0.9 + 0.05, clean.clone()
    grainy[..., :8, :8] += 0.1 * torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert flaws_of(clean, clean).max() < 0.01
    assert flaws_of(tinted, clean).median() < 0.1
    assert flaws_of(grainy, clean)[0, 0] > 1
    assert flaws_of(grainy, clean)[0, 1:].max() < 0.01


def test_aspects_say_what_captions_leave_open():
    scenes = [random_scene(Random(seed)) for seed in range(300)]
    aspects = aspects_of(scenes, torch.zeros(300, 64))
    assert aspects.shape == (300, ASPECTS)
    assert aspects[:, :3].mean(dim=0).abs().max() < 0.5
    assert (aspects[:, :3].std(dim=0) - 1).abs().max() < 0.5
    lightest = max(range(300), key=lambda place: sum(scenes[place].background))
    assert aspects[:, 2].argmax() == lightest


def test_no_caption_has_an_unknown_word():
    tokenizer = build_tokenizer()
    for statement in Random(0).sample(list(every_statement()), 500):
        assert tokenizer.unk_token_id not in tokenizer(str(statement))["input_ids"]


def test_the_shipped_encoder_fits_and_reads_the_worlds_captions():
    assert sum(file.stat().st_size for file in ENCODER.iterdir()) < 4_000_000
    assert load(ENCODER, device="cpu").tokenizer.get_vocab() == build_tokenizer().get_vocab()


def test_the_shipped_encoder_tells_every_attribute_without_any_ranking():
    shipped = checkpoints.load(ENCODER)
    accuracy = measure(shipped.model, shipped.tokenizer, pairs=150, seed=11)
    assert min(accuracy.values()) > 0.95, accuracy
