"""The support vector machine on pixels: what it separates, and what it is chosen by."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from sklearn.svm import SVC

from dae.core.streams import stream
from dae.evaluation.svm import Features, Labels, choose_and_classify
from dae.params.sections import Svm

Set = tuple[Features, Labels]


def rings(count: int, name: str) -> Set:
    """Points in six dimensions: the first two show two rings around one centre, the others small noise."""
    rng = stream(0, "rings", name)
    labels = rng.integers(0, 2, count).astype(np.uint8)
    angle, radius = rng.uniform(0, 2 * np.pi, count), 1.0 + labels
    x = rng.normal(0, 0.05, (count, 6))
    x[:, :2] += radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return x.astype(np.float32), labels


def options(**changes: Any) -> dict[str, Any]:
    """The keyword arguments that an entry of `svm` stands for, as the stage hands them over."""
    entry = {"dataset": "rings", "images": 300, "tuning_images": 150, "components": 2, "c": [10.0], "gamma": [1.0]}
    return Svm.model_validate({**entry, **changes}).model_dump(exclude={"dataset"})


TRAIN, VALIDATION, TEST = rings(300, "train"), rings(200, "validation"), rings(200, "test")


@pytest.mark.parametrize("components", [None, 2, 50], ids=["raw", "two", "more than there are"])
def test_rings_are_separated(components: int | None) -> None:
    chosen = choose_and_classify(TRAIN, VALIDATION, TEST[0], **options(components=components))
    assert chosen.predicted.dtype == np.uint8
    np.testing.assert_array_equal(chosen.predicted, TEST[1])
    assert 0 < chosen.support_vectors < len(TRAIN[0])


def test_components_are_those_of_largest_variance() -> None:
    """One component of a ring leaves labels mixed; the noise alone, the last of six, would leave nothing."""
    errors = [
        np.mean(choose_and_classify(TRAIN, VALIDATION, TEST[0], **options(components=n)).predicted != TEST[1])
        for n in (1, 2)
    ]
    assert errors[1] == 0
    assert 0 < errors[0] < 0.5


def test_raw_pixels_give_what_scikit_learn_gives() -> None:
    x, labels = (
        TRAIN[0],
        TRAIN[1] ^ (stream(0, "wrong").random(300) < 0.4),
    )  # so hard to learn that the number of images matters
    chosen = choose_and_classify((x, labels), VALIDATION, TEST[0], **options(components=None, c=[0.5], gamma=[0.7]))
    machine = SVC(C=0.5, gamma=0.7).fit(x, labels)
    np.testing.assert_array_equal(chosen.predicted, machine.predict(TEST[0]))
    assert chosen.support_vectors == machine.n_support_.sum()
    few, all_ = (
        100 * np.mean(SVC(C=0.5, gamma=0.7).fit(x[:n], labels[:n]).predict(VALIDATION[0]) != VALIDATION[1])
        for n in (150, 300)
    )
    assert chosen.validation_errors == {"c_0.5_gamma_0.7": few} != {"c_0.5_gamma_0.7": all_}


def test_every_pair_is_tried_and_the_best_on_validation_is_taken() -> None:
    c, gamma = [0.01, 10.0], [1e-4, 1.0, 1e4]
    chosen = choose_and_classify(TRAIN, VALIDATION, TEST[0], **options(c=c, gamma=gamma))
    assert set(chosen.validation_errors) == {f"c_{a:g}_gamma_{b:g}" for a, b in product(c, gamma)}
    best = chosen.validation_errors[f"c_{chosen.c:g}_gamma_{chosen.gamma:g}"]
    assert best == min(chosen.validation_errors.values()) < max(chosen.validation_errors.values())
    assert (chosen.c, chosen.gamma) == (10.0, 1.0)


def test_the_choice_follows_the_validation_labels() -> None:
    """Where the validation labels are swapped, the pair that was worst is best."""
    turned = VALIDATION[0], 1 - VALIDATION[1]
    grid = options(c=[10.0], gamma=[1e-4, 1.0])
    assert choose_and_classify(TRAIN, VALIDATION, TEST[0], **grid).gamma == 1.0
    assert choose_and_classify(TRAIN, turned, TEST[0], **grid).gamma == 1e-4


def test_the_choice_does_not_depend_on_the_test_images() -> None:
    grid = options(c=[0.1, 10.0], gamma=[0.1, 1.0])
    one = choose_and_classify(TRAIN, VALIDATION, TEST[0], **grid)
    other = choose_and_classify(TRAIN, VALIDATION, 100 * TEST[0][:7], **grid)
    assert (one.c, one.gamma, one.validation_errors) == (other.c, other.gamma, other.validation_errors)
    assert len(other.predicted) == 7


@pytest.mark.parametrize("components", [None, 2])
def test_only_the_first_images_are_learned_from(components: int | None) -> None:
    few = options(images=100, tuning_images=50, components=components)
    spoiled = TRAIN[0].copy(), TRAIN[1].copy()
    spoiled[0][100:, 0] *= 9  # another first component
    spoiled[0][200:, 0] /= 9
    spoiled[1][100:] ^= 1
    one, other = (choose_and_classify(train, VALIDATION, TEST[0], **few) for train in (TRAIN, spoiled))
    np.testing.assert_array_equal(one.predicted, other.predicted)
    assert one.validation_errors == other.validation_errors
