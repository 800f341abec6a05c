"""``speechcls train``."""

import shlex
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speechcls.cli.common import (
    FAILED,
    INTERRUPTED,
    Jobs,
    Messages,
    Noise,
    Pattern,
    Quiet,
    Verbose,
    report_bad,
    reports_errors,
    split_names,
)
from speechcls.cli.progress import counting, training_display
from speechcls.config import MODELS, FeatureConfig, NetworkConfig, TrainConfig
from speechcls.errors import ArtifactError

if TYPE_CHECKING:
    from speechcls.corpus import Corpus


@reports_errors
def train(
    data: Annotated[
        Path,
        typer.Argument(
            help="Folder with a sub-folder of recordings a word, or a manifest (.csv, .jsonl).",
            metavar="DATA",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the model. [default: models/<data>-<arch>]", metavar="DIR"),
    ] = None,
    force: Annotated[bool, typer.Option(help="Replace the model in --out.")] = False,
    commands: Annotated[
        str | None,
        typer.Option(help="Labels to tell apart, as yes,no; every other word is _unknown_."),
    ] = None,
    arch: Annotated[
        str, typer.Option(help="Network; speechcls archs lists them.")
    ] = NetworkConfig.arch,
    hidden_size: Annotated[
        int, typer.Option(help="Units of a layer, in each direction.")
    ] = NetworkConfig.hidden_size,
    num_layers: Annotated[int, typer.Option(help="Recurrent layers.")] = NetworkConfig.num_layers,
    dropout: Annotated[
        float, typer.Option(help="Share of values zeroed in training.")
    ] = NetworkConfig.dropout,
    readout: Annotated[
        str, typer.Option(help="How frames become one vector: last, mean or attention.")
    ] = NetworkConfig.readout,
    epochs: Annotated[int, typer.Option(help="Most passes over the clips.")] = TrainConfig.epochs,
    patience: Annotated[
        int, typer.Option(help="End after so many epochs without a better one.")
    ] = TrainConfig.patience,
    batch_size: Annotated[int, typer.Option(help="Clips in a step.")] = TrainConfig.batch_size,
    lr: Annotated[float, typer.Option(help="Highest learning rate.")] = TrainConfig.lr,
    weight_decay: Annotated[
        float, typer.Option(help="Weight decay of AdamW.")
    ] = TrainConfig.weight_decay,
    warmup_share: Annotated[
        float, typer.Option(help="Share of the steps in which the learning rate rises.")
    ] = TrainConfig.warmup_share,
    max_grad_norm: Annotated[
        float, typer.Option(help="Longest gradient.")
    ] = TrainConfig.max_grad_norm,
    label_smoothing: Annotated[
        float, typer.Option(help="Share of the target spread over all labels.")
    ] = TrainConfig.label_smoothing,
    unknown_share: Annotated[
        float, typer.Option(help="Most _unknown_ clips an epoch, in mean commands.")
    ] = TrainConfig.unknown_share,
    silence_share: Annotated[
        float, typer.Option(help="_silence_ clips an epoch, in mean commands.")
    ] = TrainConfig.silence_share,
    shift_share: Annotated[
        float, typer.Option(help="Move each clip by up to this share of the window.")
    ] = TrainConfig.shift_share,
    noise_share: Annotated[
        float, typer.Option(help="Share of the clips that get background noise.")
    ] = TrainConfig.noise_share,
    snr_low_db: Annotated[
        float, typer.Option(help="Loudest noise: signal-to-noise ratio, dB.")
    ] = TrainConfig.snr_low_db,
    snr_high_db: Annotated[
        float, typer.Option(help="Faintest noise: signal-to-noise ratio, dB.")
    ] = TrainConfig.snr_high_db,
    time_masks: Annotated[
        int, typer.Option(help="Stretches of each clip that are blanked out.")
    ] = TrainConfig.time_masks,
    time_mask_share: Annotated[
        float, typer.Option(help="Longest such stretch, as a share of the window.")
    ] = TrainConfig.time_mask_share,
    seed: Annotated[int, typer.Option(help="Seed of all that is random.")] = TrainConfig.seed,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    pattern: Pattern = None,
    noise: Noise = None,
    test_speakers: Annotated[
        str | None, typer.Option(help="Speakers to hold out for the test, as ann,bob.")
    ] = None,
    max_bad: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Largest share of clips that may be bad.")
    ] = 0.01,
    features: Annotated[str, typer.Option(help="mfcc or log-mel.")] = FeatureConfig.kind,
    sample_rate: Annotated[
        int, typer.Option(help="Hz that recordings are resampled to.")
    ] = FeatureConfig.sample_rate,
    duration: Annotated[
        float | None,
        typer.Option(help="Window of the model, seconds. [default: the clips' usual length]"),
    ] = None,
    n_fft: Annotated[
        int, typer.Option(help="Length of the Fourier transform, samples.")
    ] = FeatureConfig.n_fft,
    win_length: Annotated[
        int, typer.Option(help="Length of the window, samples.")
    ] = FeatureConfig.win_length,
    hop_length: Annotated[
        int, typer.Option(help="Step between frames, samples.")
    ] = FeatureConfig.hop_length,
    n_mels: Annotated[int, typer.Option(help="Mel bands.")] = FeatureConfig.n_mels,
    n_mfcc: Annotated[int, typer.Option(help="Cepstral coefficients.")] = FeatureConfig.n_mfcc,
    fmin: Annotated[float, typer.Option(help="Lowest frequency, Hz.")] = FeatureConfig.fmin,
    fmax: Annotated[float, typer.Option(help="Highest frequency, Hz.")] = FeatureConfig.fmax,
    jobs: Jobs = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Train a recogniser on a folder of recordings.

    Speakers are held back for validation and test wherever they are known. Prints the folder of
    the model. Ctrl-C ends early and keeps the best model so far.

    Example: speechcls train data/ --commands yes,no --arch gru
    """
    feature_config = FeatureConfig(
        kind=features,
        sample_rate=sample_rate,
        duration_s=FeatureConfig.duration_s if duration is None else duration,
        n_fft=n_fft,
        win_length=win_length,
        hop_length=hop_length,
        n_mels=n_mels,
        n_mfcc=n_mfcc,
        fmin=fmin,
        fmax=fmax,
    )
    network_config = NetworkConfig(arch, hidden_size, num_layers, dropout, readout)
    train_config = TrainConfig(
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        weight_decay=weight_decay,
        warmup_share=warmup_share,
        max_grad_norm=max_grad_norm,
        label_smoothing=label_smoothing,
        patience=patience,
        unknown_share=unknown_share,
        silence_share=silence_share,
        shift_share=shift_share,
        noise_share=noise_share,
        snr_low_db=snr_low_db,
        snr_high_db=snr_high_db,
        time_masks=time_masks,
        time_mask_share=time_mask_share,
        seed=seed,
    )
    messages = Messages(quiet, verbose)
    from speechcls.artifact import Artifact, check_place
    from speechcls.classifier import default_jobs
    from speechcls.corpus import load_corpus
    from speechcls.dataset import find_examples

    # Everything that can be refused is refused before the hours of training.
    dataset = find_examples(data, pattern, noise)
    place = out or MODELS / f"{(data.parent if data.is_file() else data).resolve().name}-{arch}"
    check_place(place, force)
    from speechcls.export import save_trained
    from speechcls.networks import build_recogniser, count_parameters
    from speechcls.training import choose_device, fit

    on = choose_device(device)
    build_recogniser(feature_config, network_config, 2, seed)
    with counting(messages, "reading", len(dataset.examples)) as on_clip:
        corpus = load_corpus(
            dataset,
            feature_config,
            duration,
            split_names("--commands", commands),
            split_names("--test-speakers", test_speakers),
            max_bad,
            jobs or default_jobs(),
            on_clip,
        )
    report_bad(messages, corpus.bad)
    for warning in corpus.warnings:
        messages.warn(warning)
    recogniser = build_recogniser(corpus.features, network_config, len(corpus.labels), seed)
    n_parameters = count_parameters(recogniser)
    messages.note(_describe_corpus(corpus))
    messages.note(f"{arch} with {n_parameters:,} parameters on {on}, at most {epochs} epochs")
    with training_display(messages, epochs) as (on_epoch, on_step):
        result = fit(recogniser, corpus, train_config, on, on_epoch, on_step)
    if result.best is None:
        raise KeyboardInterrupt

    def save(folder: Path) -> float:
        artifact = Artifact(folder, corpus.features, network_config, corpus.labels)
        return save_trained(
            artifact,
            recogniser,
            corpus,
            result,
            train_config,
            str(on),
            split_names("--commands", commands),
            force,
        ).accuracy

    # A second Ctrl-C must not lose what the first one promises to keep.
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        accuracy, code = save(place), INTERRUPTED if result.interrupted else 0
    except ArtifactError as error:
        # Hours of training must not be lost to a full disk.
        messages.error(str(error))
        refuge = Path(tempfile.mkdtemp(prefix="speechcls-"))
        place = refuge / place.name
        try:
            accuracy, code = save(place), FAILED
        except ArtifactError:
            refuge.rmdir()
            raise
    finally:
        signal.signal(signal.SIGINT, handler)
    if result.interrupted:
        messages.note("interrupted; the best model so far is kept")
    messages.note(
        f"saved {place}: {100 * accuracy:.1f} % of the validation clips right"
        f" (best epoch {result.best.epoch} of {len(result.history)})"
    )
    option = f"--model {shlex.quote(str(place))}"
    messages.note(f"next: speechcls evaluate {shlex.quote(str(data))} {option}")
    messages.note(f"      speechcls predict CLIP {option}")
    typer.echo(str(place))
    if code:
        raise typer.Exit(code)


def _describe_corpus(corpus: "Corpus") -> str:
    counts = {name: int((corpus.split == name).sum()) for name in ("train", "validation", "test")}
    n_speakers = len({row.speaker for row in corpus.rows} - {""})
    speakers = f" by {n_speakers} speakers" if n_speakers else ""
    return (
        f"{len(corpus.labels)} labels, {len(corpus.rows)} clips{speakers}"
        f" ({', '.join(f'{n} {name}' for name, n in counts.items())}),"
        f" window {corpus.features.duration_s:g} s"
    )
