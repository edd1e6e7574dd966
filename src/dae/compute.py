"""Where and how PyTorch computes, and running a network without training it."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from dae.params import Compute

Loss = Callable[[Tensor, Tensor], Tensor]


def configure(compute: Compute) -> torch.device:
    """Fix the number of threads, ask for deterministic kernels, and choose the device.

    Raises ValueError if CUDA is asked for and not there.
    """
    torch.set_num_threads(compute.threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    if compute.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("compute.device: cuda is asked for, but PyTorch finds no CUDA device; use auto or cpu")
    return torch.device("cuda" if compute.device != "cpu" and torch.cuda.is_available() else "cpu")


def mean_loss(model: nn.Module, loss: Loss, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Mean of the loss over the batches, without gradients."""
    values, sizes = [], []
    with evaluating(model):
        for x, target in batches:
            values.append(float(loss(model(x), target)) * len(x))
            sizes.append(len(x))
    return sum(values) / sum(sizes)


def error_rate(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Share of examples, in percent, whose largest score is not the label's."""
    wrong = count = 0
    with evaluating(model):
        for x, labels in batches:
            wrong += int((model(x).argmax(dim=1) != labels).sum())
            count += len(x)
    return 100.0 * wrong / count


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """No gradients, and the model in evaluation mode; afterwards in the mode it was in."""
    mode = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(mode)
