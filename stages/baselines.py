"""Measure how much a corruption leaves of some test images, and how well the baselines restore them."""

from typing import Any

from numpy.typing import NDArray

from dae.core.files import read_json, write_json
from dae.core.images import LEARN, as_float, image_file, load_draws, load_images, subset
from dae.core.streams import stream
from dae.evaluation.baselines import restorations
from dae.evaluation.metrics import quality
from dae.evaluation.pictures import INPUT
from dae.params import sections
from stages.common import run
from stages.context import Clean, Noisy, Out, evaluation, section, stage


def main(name: str, *, clean: Clean, noisy: Noisy, out: Out) -> None:
    """Measure the entry NAME of `corruptions` on some test images; the baselines are tuned on validation images."""
    settings, sizes = evaluation(), section("baselines", sections.Baselines)
    upstream = read_json(noisy / LEARN / "params.json")
    root = upstream["seed"]
    params = {
        **upstream,
        "baselines": sizes.model_dump(),
        "evaluation": settings.model_dump(),
    }
    test, validation = (load_images(clean, split) for split in ("test", "validation"))
    chosen = subset(sizes.images, len(test), rng=stream(root, "subset", "test"))
    tuning = subset(sizes.tuning_images, len(validation), rng=stream(root, "subset", "validation"))
    x, x_val = as_float(test[chosen]), as_float(validation[tuning])
    x_tilde = as_float(load_draws(noisy, "test")[0, chosen])
    x_tilde_val = as_float(load_draws(noisy, "validation")[0, tuning])

    inputs = [image_file(root, split) for root in (clean, noisy) for split in ("validation", "test")]
    with stage("baselines", name, out, params, inputs) as at:
        metrics: dict[str, Any] = {"images": len(x)}
        if x_tilde.shape == x.shape:
            metrics["unclipped"] = quality(x_tilde, x, settings=settings, seed=root)[0]
        each: dict[str, NDArray[Any]] = {"images": chosen}
        pictures = {"original": x[:10]}
        restored = restorations(x_tilde, x_tilde_val, x_val)
        metrics["best_baseline"] = max(restored, key=lambda name: restored[name].tuning_psnr)
        for label, result in restored.items():
            figures, values = quality(result.images, x, settings=settings, seed=root)
            metrics[label] = {"strength": result.strength, "tuning_psnr": result.tuning_psnr, **figures}
            each |= {label: values["psnr"]} if label != INPUT else {}  # evaluations measure the input on all images
            pictures[label] = result.images[:10]
        at.metrics(metrics)
        at.arrays("psnr", **each)
        write_json(at.report / "params.json", params)  # evaluations then measure in the same way
        at.record.images(pictures, "restorations")


if __name__ == "__main__":
    run(main)
