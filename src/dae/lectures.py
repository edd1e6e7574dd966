"""What the lectures show, which entry of params.yaml shows it here, and the figures that were measured."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from dae.data.files import flat, read_json
from dae.params import RESTORING
from dae.plots import interval_label
from dae.summary import CLASSIFYING, Row, interval, table


@dataclass(frozen=True)
class Measure:
    """A figure of an entry's metrics.json, with its interval if it has one."""

    label: str
    key: str
    digits: int = 2
    scale: float = 1.0


@dataclass(frozen=True)
class System:
    """What is shown.

    `entry`: section.name; `figure`: under results/, or a table there; `expected`: what lecture or paper report, if any.
    """

    lecture: str
    what: str
    entry: str
    figure: str
    measures: tuple[Measure, ...]
    expected: str = ""


PSNR = Measure("PSNR, dB", "psnr")
READ = Measure("read by M, %", "accuracy_restored", scale=100)
SHARP = Measure("sharpness", "sharpness", 3)
MSE = Measure("squared error", "mse", 4)
ERROR = Measure("test error, %", "test_error")
BIAS = Measure("bias", "bias", 3)
GAIN = Measure("gain over bicubic, dB", "gain_over_bicubic")
KEPT = (Measure("noise kept", "kept_noise", 3), Measure("predicted", "predicted_kept_noise", 3))
SHIFT = (Measure("bias", "bias", 3), Measure("predicted", "predicted_bias", 3))
CODES = (Measure("SVM on noisy codes, %", "svm_accuracy", scale=100),)
NATS = (
    Measure("log p(x given z), nats per image", "log_likelihood_clean_code", 0),
    Measure("z of the noisy image", "log_likelihood_noisy_code", 0),
)
POSTERIOR = (
    Measure("mean squared error between its mean and the denoiser", "mean_to_denoiser", 4),
    Measure("and a draw", "draw_to_mean", 4),
    Measure("draws of several digits, % of images", "several_labels", 0, 100),
)
TOY = (
    Measure("squared distance to the exact mean", "denoiser_to_mean", 5),
    Measure("of the input", "input_to_mean", 5),
)
MIDWAY = (
    Measure("distance to the nearest point, in sigma: of the mean of pairs", "midway.mean_of_pairs.sigmas_to_data"),
    Measure("of the denoiser", "midway.denoiser.sigmas_to_data"),
)
SPREAD = (
    Measure("variance", "variance", 4),
    Measure("squared error of least squares on these images", "mse_of_reference", 4),
)
SAMPLED = (
    Measure("PSNR of the mean, dB", "mean_of_samples.psnr"),
    Measure("of least squares on these images, dB", "reference.psnr"),
    Measure("which M reads, %", "reference.accuracy_restored", scale=100),
)
SMALLER = (Measure("PSNR, dB", "factor_4.psnr"), Measure("gain over bicubic, dB", "factor_4.gain_over_bicubic"))
ORIENTED = (Measure("orientation selectivity", "selectivity"),)

SYSTEMS = (
    System(
        "000", "convolutional denoiser, clean targets", "clean.gaussian_conv", "figures/snapshots.png", (PSNR, READ)
    ),
    System("000", "  its loss over the epochs", "clean.gaussian_conv", "figures/losses_loss.png", (MSE,)),
    System("000", "noise with a covariance", "clean.correlated_conv", "figures/noises_digits.png", (PSNR, READ)),
    System("000", "two latent units", "latent.gaussian_mlp_2d", "latent/gaussian_mlp_2d/figures/decoded.png", CODES),
    System("000, 001", "Noise2Noise", "noise2noise.gaussian_conv", "figures/noise2noise_digits.png", (PSNR, READ)),
    System(
        "000, 001", "  clean targets beside it", "clean.gaussian_conv", "figures/noise2noise_measures.png", (PSNR, READ)
    ),
    System("000, 001", "  identical draws", "ablations.identical_unet", "ablations/identical_unet/grid.png", KEPT),
    System("000, 001", "  correlated draws", "ablations.correlated_unet", "ablations/correlated_unet/grid.png", KEPT),
    System("000, 001", "  noise with a mean", "ablations.biased_unet", "ablations/biased_unet/grid.png", SHIFT),
    System("001, 004", "points in the plane: spiral", "toy.spiral", "toy/spiral/field.png", TOY),
    System("001", "points in the plane: open circle", "toy.open_circle", "toy/open_circle/field.png", TOY),
    System("001, 004", "  a mean where no points are", "toy.open_circle", "toy/open_circle/mean.png", MIDWAY),
    System(
        "001, 004",
        "posterior of a digit with a 16 x 16 hole",
        "posterior.block_large",
        "posterior/block_large/posterior.png",
        POSTERIOR,
    ),
    *(
        System("001", what, f"clean.{name}_deep_conv", f"evaluate/clean/{name}_deep_conv/grid.png", (PSNR, READ))
        for name, what in {
            "erasure": "half of the pixels erased",
            "erasure_heavy": "nine of ten pixels erased",
            "blur": "blur of 2 pixels",
            "blur_strong": "blur of 4 pixels",
            "block": "a 10 x 10 hole",
            "block_large": "a 16 x 16 hole",
        }.items()
    ),
    System(
        "001, 004", "least squares at nine of ten", "clean.heavy_l2", "figures/modes_digits.png", (PSNR, SHARP, READ)
    ),
    System("004", "  absolute error", "clean.heavy_l1", "figures/modes_digits.png", (PSNR, SHARP, READ)),
    System("001", "  adversarial", "clean.heavy_adversarial", "figures/modes_measures.png", (PSNR, SHARP, READ)),
    System(
        "001, 004",
        "  sampled restorations",
        "stochastic.heavy_flow",
        "evaluate/stochastic/heavy_flow/grid.png",
        (PSNR, SHARP, READ),
    ),
    System("001, 004", "  their spread", "stochastic.heavy_flow", "evaluate/stochastic/heavy_flow/grid.png", SPREAD),
    System("001, 004", "  their mean", "stochastic.heavy_flow", "evaluate/stochastic/heavy_flow/mean.png", SAMPLED),
    System(
        "001",
        "Noise2Noise with L1 (median)",
        "noise2noise.salt_pepper_l1",
        "figures/median_and_mode_digits.png",
        (PSNR, BIAS, READ),
    ),
    System("001", "  L2 there", "noise2noise.salt_pepper_l2", "figures/median_and_mode_digits.png", (PSNR, BIAS, READ)),
    System(
        "001",
        "Noise2Noise with L0 (mode)",
        "noise2noise.impulse_l0",
        "figures/median_and_mode_digits.png",
        (PSNR, BIAS, READ),
    ),
    System("001", "  L2 there", "noise2noise.impulse_l2", "figures/median_and_mode_measures.png", (PSNR, BIAS, READ)),
    System("001", "U-Net, clean targets", "clean.gaussian_unet", "figures/networks_digits.png", (PSNR, READ)),
    System("001", "U-Net, Noise2Noise", "noise2noise.gaussian_unet", "figures/noise2noise_digits.png", (PSNR, READ)),
    System(
        "001",
        "relative loss for high dynamic range",
        "noise2noise.poisson_hdr",
        "figures/photons_digits.png",
        (PSNR, READ),
    ),
    System("001", "  L2 there", "noise2noise.poisson_mse", "figures/photons_digits.png", (PSNR, READ)),
    System(
        "001", "Fourier sampling (MRI), Noise2Noise", "noise2noise.fourier_unet", "figures/mri_digits.png", (PSNR, READ)
    ),
    System("001", "  clean targets", "clean.fourier_unet", "figures/mri_digits.png", (PSNR, READ)),
    System("001", "upscaler", "upscaler.double", "figures/upscaling_digits.png", (PSNR, GAIN)),
    System("001", "EDSR", "upscaler.edsr", "figures/upscaling_digits.png", (PSNR, GAIN)),
    System("001", "MDSR", "upscaler.mdsr", "figures/upscaling_digits.png", (PSNR, GAIN)),
    System("001", "  from a quarter of the side", "upscaler.mdsr", "evaluate/upscaler/mdsr/grid.png", SMALLER),
    System(
        "001",
        "information kept by an autoencoder",
        "latent.autoencoder_conv",
        "latent/autoencoder_conv/figures/plane.png",
        NATS,
    ),
    System(
        "001", "  by a denoising autoencoder", "latent.gaussian_conv", "latent/gaussian_conv/figures/plane.png", NATS
    ),
    *(
        System("001", f"filters of natural patches: {what}", f"filters.{name}", f"filters/{name}/filters.png", ORIENTED)
        for name, what in {
            "weight_decay": "weight decay, no noise",
            "gaussian": "Gaussian noise",
            "salt_pepper": "salt and pepper",
            "masking": "zero masking",
        }.items()
    ),
    System("001", "SVM with a Gaussian kernel", "svm.rbf", "figures/pretraining.png", (ERROR,), "1.40 ± 0.23"),
    System("001", "SAE-3", "stacked.sae_3", "figures/pretraining.png", (ERROR,), "1.40 ± 0.23"),
    System("001", "DBN-3", "stacked.dbn_3", "figures/pretraining.png", (ERROR,), "1.24 ± 0.22"),
    System("001", "SDAE-3", "stacked.sdae_3", "figures/filters_sdae_3.png", (ERROR,), "1.28 ± 0.22"),
    System("001", "  without pretraining", "stacked.no_pretraining", "figures/pretraining.png", (ERROR,)),
    System("002", "salt and pepper", "clean.salt_pepper_conv", "figures/noises_digits.png", (PSNR, READ)),
    System("002", "masking, a number of pixels", "clean.masking_conv", "figures/noises_digits.png", (PSNR, READ)),
    System("002", "masking, given blocks", "clean.blocks_conv", "figures/noises_digits.png", (PSNR, READ)),
    *(
        System(
            "002",
            f"perceptual loss, weight {weight}",
            f"perceptual.{name}",
            "figures/perceptual_measures.png",
            (PSNR, SHARP, READ),
        )
        for name, weight in {"lambda_0": "0 (squared error alone)", "lambda_01": "0.1", "lambda_1": "1"}.items()
    ),
    System(
        "003", "batch-normalised network, 128 codes", "clean.gaussian_bn_conv", "figures/networks_digits.png", (PSNR,)
    ),
    System(
        "003",
        "  M on its restorations",
        "clean.gaussian_bn_conv",
        "evaluate/clean/gaussian_bn_conv/classification.csv",
        (READ,),
        "94.34",
    ),
    System("003", "speckle", "clean.speckle_conv", "figures/noises_digits.png", (PSNR, READ)),
    System("003", "periodic noise", "clean.periodic_conv", "figures/noises_digits.png", (PSNR, READ)),
    System("003", "L1", "clean.gaussian_l1", "figures/losses_digits.png", (PSNR, READ)),
    System("003", "MSE", "clean.gaussian_conv", "figures/losses_digits.png", (PSNR, READ)),
    System("003", "smooth L1", "clean.gaussian_smooth_l1", "figures/losses_loss.png", (PSNR, READ)),
    System(
        "003",
        "the judge M",
        "classifiers.mnist",
        "evaluate/classifiers/mnist/classification.csv",
        (ERROR,),
        "2 (accuracy 0.98)",
    ),
    System(
        "003",
        "SVM on the codes of noisy images",
        "latent.gaussian_bn_conv",
        "latent/gaussian_bn_conv/figures/plane.png",
        CODES,
        "93.96",
    ),
    System("003", "attention", "clean.gaussian_attention", "figures/networks_digits.png", (PSNR, READ)),
    System("003", "variational autoencoder", "clean.gaussian_vae", "figures/networks_digits.png", (PSNR, READ)),
    System("003", "another data set", "clean.fashion_conv", "figures/fashion_digits.png", (PSNR, READ)),
)


def markdown(results: Path, items: Collection[str], confidence: float) -> str:
    """A row for each system whose entry is one of `items` (section.name), with what `results` says of it."""
    rows = [
        [
            system.lecture,
            f"&nbsp;&nbsp;{system.what.strip()}" if system.what.startswith(" ") else system.what,
            f"`{system.entry}`",
            f"[{'figure' if system.figure.endswith('.png') else 'table'}](results/{system.figure})",
            _figures(results, system),
            system.expected,
        ]
        for system in SYSTEMS
        if system.entry in items
    ]
    return table(["lecture", "system", "entry", "figure", f"measured [{interval_label(confidence)}]", "reported"], rows)


def _figures(results: Path, system: System) -> str:
    section, _, name = system.entry.partition(".")
    evaluated = section in (*RESTORING, *CLASSIFYING)
    folder = results / "evaluate" if evaluated else results
    figures = read_json(folder / section / name / "metrics.json")
    return "; ".join(f"{measure.label} {_value(flat(figures), measure)}" for measure in system.measures)


def _value(figures: Row, measure: Measure) -> str:
    scaled = {
        key: value * measure.scale
        for key, value in figures.items()
        if key.startswith(measure.key) and value is not None
    }
    has_interval = f"{measure.key}_low" in scaled
    return (
        interval(scaled, measure.key, measure.digits) if has_interval else f"{scaled[measure.key]:.{measure.digits}f}"
    )
