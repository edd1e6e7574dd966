"""Where and how PyTorch computes, how stored arrays get onto the device, and how a network runs without training."""

import ctypes
import inspect
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

from dae.settings import Compute

DEAD = 1e-6  # standard deviation over inputs below which an output counts as constant
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h

Loss = Callable[[Tensor, Tensor], Tensor]
Kind = TypeVar("Kind", bound=Optimizer)


def configure(compute: Compute) -> torch.device:
    """Fix the number of threads, choose the device, and have it compute the same bits every time.

    Raises ValueError if CUDA is asked for but not there.
    """
    torch.set_num_threads(compute.threads)
    _keep_freed_memory()
    cuda = compute.device != "cpu" and torch.cuda.is_available()
    if compute.device == "cuda" and not cuda:
        raise ValueError("compute.device: cuda is asked for, but PyTorch finds no CUDA device; use auto or cpu")
    if cuda:  # on a CPU the kernels used here are deterministic as they are, and asking costs a second
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    return torch.device("cuda" if cuda else "cpu")


def _keep_freed_memory() -> None:
    """Have glibc keep what is freed instead of giving it back to the system, if this is glibc.

    A step of training allocates the same few megabytes again and again; fresh pages for them cost up to a fifth of its
    time. Some releases accept no mmap threshold above 32 MiB. Once either threshold is set, neither grows by itself any
    more, so the trim threshold is set only if the mmap threshold could be.
    """
    set_option = None if os.name == "nt" else getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option and (set_option(M_MMAP_THRESHOLD, 2**31 - 1) or set_option(M_MMAP_THRESHOLD, 2**25)):
        set_option(M_TRIM_THRESHOLD, 2**31 - 1)


def in_bfloat16(precision: str, device: torch.device) -> bool:
    """Whether a forward pass with this `precision` computes in bfloat16; `auto` does so where that is faster.

    It is faster on NVIDIA GPUs since Ampere, and on processors that have matrix instructions for it (Intel's AMX) or
    vector instructions that do twice as much as those for float32 (AMD's AVX-512). Intel's vector instructions for it
    do no more than those for float32, and converting costs up to half a step. Where a processor has none, PyTorch
    emulates them and is several times slower.
    """
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    has = torch.cpu.get_capabilities()
    return bool(has.get("amx_bf16") or (has.get("avx512_bf16") and "AMD" in has["cpu_name"]))


def eager(kind: type[Kind]) -> type[Kind]:
    """The same optimiser without the wrappers that PyTorch puts around its methods for its compiler.

    Nothing is compiled here, and the first call of such a wrapper loads the compiler, which takes a second of every
    training. The wrapper of `step` also switches gradients off, which is done here instead; its mark `hooked` keeps
    PyTorch from wrapping it for the profiler. The steps of this optimiser cannot be differentiated.
    """
    names = ("add_param_group", "zero_grad", "state_dict", "load_state_dict", "step")
    plain = {name: inspect.unwrap(getattr(kind, name)) for name in names}
    step = torch.no_grad()(plain["step"])
    step.hooked = True
    return type(kind.__name__, (kind,), {**plain, "step": step})


def resident(array: NDArray[Any], device: torch.device) -> Tensor:
    """A copy of a whole array on the device, in its stored type: reading a memory map may wait for the disk."""
    return torch.from_numpy(np.array(array)).to(device)


def to_float(images: Tensor) -> Tensor:
    """Stored images as float32: bytes are divided by 255, half precision keeps its values."""
    return images.float() / 255 if images.dtype == torch.uint8 else images.float()


def outputs(model: nn.Module, x: Tensor, size: int = 200) -> Tensor:
    """Output of the model for stored images or codes (N, ...), in batches of `size`, without gradients."""
    with evaluating(model):
        return torch.cat([model(to_float(part)) for part in x.split(size)])


def penalised(loss: Loss, model: nn.Module) -> Loss:
    """The loss plus what the network adds to it: its attribute `penalty`, if it has one, a scalar for its last output.

    For a variational autoencoder that is the divergence of the code's distribution from the prior.
    """
    return lambda output, target: loss(output, target) + getattr(model, "penalty", 0.0)


def require_alive(model: nn.Module, x: Tensor, name: str) -> None:
    """Raises ValueError if the output is the same for inputs (N, ...) that differ, as when the units have died."""
    with evaluating(model):
        output = model(x).float()
    if len(x) > 1 and float(output.std(dim=0).max()) < DEAD < float(x.std(dim=0).max()):
        raise ValueError(
            f"{name}: the network's output is the same for {len(x)} validation inputs that differ: its units have "
            "died; a lower learning_rate is the likely cure"
        )


def mean_loss(model: nn.Module, loss: Loss, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Mean over the batches of the loss, which includes the network's penalty, without gradients."""
    loss = penalised(loss, model)
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
    """Inside the block there are no gradients and the model is in evaluation mode; afterwards its mode is restored."""
    mode = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(mode)
