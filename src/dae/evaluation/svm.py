"""A support vector machine with a Gaussian kernel on pixels, chosen on validation images."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC

Features = NDArray[np.float32]  # (N, D)
Labels = NDArray[np.uint8]  # (N,)


@dataclass(frozen=True)
class Chosen:
    """A machine's answers for the test images, its penalty and width, and the validation error (%) of each pair."""

    predicted: Labels
    c: float
    gamma: float
    validation_errors: dict[str, float]
    support_vectors: int


def choose_and_classify(
    train: tuple[Features, Labels],
    validation: tuple[Features, Labels],
    test: Features,
    *,
    images: int,
    tuning_images: int,
    components: int | None,
    c: list[float],
    gamma: list[float],
) -> Chosen:
    """Choose a penalty of `c` and a width of `gamma` by validation error, then learn again and answer for `test`.

    The machines to choose from learn from the first `tuning_images` training images, and the chosen one learns again
    from `images`. They see the first `components` principal components of the pixels, or the pixels themselves.
    """
    x, labels = train[0][:images], train[1][:images]
    if components:
        axes = PCA(min(components, *x.shape), svd_solver="covariance_eigh").fit(x)
        x, x_val, x_test = (axes.transform(images) for images in (x, validation[0], test))
    else:
        x_val, x_test = validation[0], test
    few = slice(tuning_images)

    def error(pair: tuple[float, float]) -> float:
        candidate = SVC(C=pair[0], gamma=pair[1]).fit(x[few], labels[few])
        return 100 * float(np.mean(candidate.predict(x_val) != validation[1]))

    pairs = list(product(c, gamma))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        errors = dict(zip(pairs, pool.map(error, pairs), strict=True))
    best = min(errors, key=lambda pair: errors[pair])
    machine = SVC(C=best[0], gamma=best[1], cache_size=2000).fit(x, labels)
    named = {f"c_{pair[0]:g}_gamma_{pair[1]:g}": error for pair, error in errors.items()}
    return Chosen(answers(machine, x_test), *best, named, int(machine.n_support_.sum()))


def answers(machine: SVC | Pipeline, x: Features) -> Labels:
    """What a fitted machine reads from `x`, (N, D) -> (N,); in threads, because libsvm works without Python's lock."""
    parts = np.array_split(x, os.cpu_count() or 1)
    with ThreadPoolExecutor() as pool:
        return np.concatenate(list(pool.map(machine.predict, parts))).astype(np.uint8)
