"""A small params.yaml with an entry of every kind, as the tests of its reader share it."""

SMALL = """
seed: 0
compute: {device: cpu, threads: 1}
defaults:
  training:
    epochs: 1
    steps_per_epoch: null
    batch_size: 8
    optimizer: adam
    learning_rate: 1e-3
    schedule: constant
    weight_decay: 0.0
    precision: float32
    keep: best
datasets:
  digits: {source: mnist, raw: data/raw, validation: 10, limit: null}
corruptions:
  gaussian: {dataset: digits, kind: gaussian, sigma: 0.5, draws: 2}
  downsample: {dataset: digits, kind: downsample, factor: 2, draws: 1}
baselines: {images: 6, tuning_images: 5}
classifiers:
  digits:
    defaults: training
    dataset: digits
    model: {kind: cnn, channels: [4], hidden: 8}
clean:
  first:
    defaults: training
    dataset: digits
    model: {kind: mlp_2d}
    corruption: gaussian
    loss: {kind: mse}
    noise: fresh
  third:
    defaults: training
    dataset: digits
    model: {kind: mdsr, channels: 4, factors: [2, 4]}
    corruption: downsample
    loss: {kind: sse}
    noise: frozen
perceptual:
  seen:
    defaults: training
    dataset: digits
    model: {kind: conv}
    corruption: gaussian
    loss: {kind: general, lambda_perceptual: 0.1, weights: [1.0]}
    noise: frozen
    features: digits
noise2noise:
  second:
    defaults: training
    dataset: digits
    model: {kind: conv}
    corruption: gaussian
    loss: {kind: smooth_l1, beta: 0.5}
    noise: frozen
    shared: 0.0
    allow_biased: false
stochastic:
  drawn:
    defaults: training
    dataset: digits
    model: {kind: unet, inputs: 3}
    corruption: gaussian
    loss: {kind: mse}
    noise: frozen
    steps: 3
    samples: 4
    images: 5
    reference: first
stacked:
  fourth:
    dataset: digits
    hidden: [10, 5]
    activation: relu
    layers: denoising
    corruption: {kind: masking, level: 0.25}
    pretraining:
      defaults: training
      epochs: 0
    finetuning:
      defaults: training
svm:
  kernel: {dataset: digits, images: 50, tuning_images: 20, components: 6, c: [1.0, 10.0], gamma: [0.02]}
latent:
  first: {dataset: digits, corruption: gaussian, images: 30, c: 10.0}
posterior:
  many: {dataset: digits, corruption: gaussian, denoiser: first, digits: 2, pairs: 40, kept: 7}
ablations:
  second: {dataset: digits, corruption: gaussian, reference: second}
toy:
  plane:
    {defaults: training, points: {kind: spiral}, count: 9, sigma: 0.1, model: {kind: toy_2d, hidden: 3}, repeats: 2}
patches: {size: 12, train: 60, validation: 25}
filters:
  noisy: {defaults: training, hidden: 11, corruption: {kind: salt_pepper, level: 0.1}}
comparisons:
  both: [clean.first, noise2noise.second]
evaluation: {resamples: 100, confidence: 0.95, require_gain: false}
"""
