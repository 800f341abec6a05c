"""``speechcls train``."""

import dataclasses
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from speechcls.cli.common import FAILED, INTERRUPTED, reports_errors
from speechcls.cli.messages import Messages
from speechcls.cli.options import Jobs, Noise, Pattern, Quiet, Verbose, split_names
from speechcls.cli.progress import item_bar, training_display
from speechcls.cli.rescue import save_or_rescue
from speechcls.config import (
    MODELS,
    RECIPES,
    SIZES,
    STREAM,
    STREAM_FEATURES,
    STREAM_NETWORK,
    Config,
    FeatureConfig,
    NetworkConfig,
    TrainConfig,
)
from speechcls.errors import ConfigError, DatasetError
from speechcls.labels import SILENCE


@reports_errors
def train(
    ctx: typer.Context,
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
    from_model: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Model to start from, or commands, which comes with speechcls: its features and"
            " network, with a new last layer.",
            metavar="MODEL",
        ),
    ] = None,
    arch: Annotated[
        str, typer.Option(help="Network; speechcls archs lists them.")
    ] = NetworkConfig.arch,
    size: Annotated[
        str | None,
        typer.Option(
            help="Hidden size by parameters: tiny (30,000), small (100,000), base (400,000)."
        ),
    ] = None,
    hidden_size: Annotated[
        int, typer.Option(help="Units of a layer, in each direction.")
    ] = NetworkConfig.hidden_size,
    num_layers: Annotated[int, typer.Option(help="Recurrent layers.")] = NetworkConfig.num_layers,
    dropout: Annotated[
        float, typer.Option(help="Share of values zeroed in training.")
    ] = NetworkConfig.dropout,
    readout: Annotated[
        str,
        typer.Option(
            help="How frames become one vector: last, mean or attention; stream: one a step."
        ),
    ] = NetworkConfig.readout,
    recipe: Annotated[
        str,
        typer.Option(
            help="fast, standard, best, or stream (with --streaming): where the settings of"
            " training start from; those given here override it, and the defaults shown are those"
            " of standard."
        ),
    ] = TrainConfig.recipe,
    streaming: Annotated[
        bool,
        typer.Option(
            "--streaming",
            help="Train on running sound, for detect and listen, a network that never waits: crnn,"
            " gru, lstm or rnn.",
        ),
    ] = False,
    epochs: Annotated[int, typer.Option(help="Most passes over the clips.")] = TrainConfig.epochs,
    patience: Annotated[
        int, typer.Option(help="End after so many epochs without a better one.")
    ] = TrainConfig.patience,
    batch_size: Annotated[int, typer.Option(help="Clips in a step.")] = TrainConfig.batch_size,
    lr: Annotated[float, typer.Option(help="Highest learning rate.")] = TrainConfig.lr,
    weight_decay: Annotated[
        float, typer.Option(help="Weight decay of AdamW.")
    ] = TrainConfig.weight_decay,
    warmup_ratio: Annotated[
        float, typer.Option(help="Share of the steps in which the learning rate rises.")
    ] = TrainConfig.warmup_ratio,
    max_grad_norm: Annotated[
        float, typer.Option(help="Longest gradient.")
    ] = TrainConfig.max_grad_norm,
    label_smoothing: Annotated[
        float, typer.Option(help="Share of the target spread over all words.")
    ] = TrainConfig.label_smoothing,
    ema_decay: Annotated[
        float,
        typer.Option(
            help="What a step leaves of the running average of the weights; 0: no average."
        ),
    ] = TrainConfig.ema_decay,
    unknown_ratio: Annotated[
        float, typer.Option(help="Most _unknown_ clips an epoch, in mean commands.")
    ] = TrainConfig.unknown_ratio,
    silence_ratio: Annotated[
        float, typer.Option(help="_silence_ clips an epoch, in mean commands.")
    ] = TrainConfig.silence_ratio,
    scramble_ratio: Annotated[
        float, typer.Option(help="Scrambled words an epoch as _unknown_, in mean commands.")
    ] = TrainConfig.scramble_ratio,
    epoch_clips: Annotated[
        int, typer.Option(help="Fewest clips in an epoch; a smaller set is repeated.")
    ] = TrainConfig.epoch_clips,
    speed_max: Annotated[
        float, typer.Option(help="Play each clip faster or slower by up to this share.")
    ] = TrainConfig.speed_max,
    shift_max: Annotated[
        float, typer.Option(help="Move each clip by up to this share of the window.")
    ] = TrainConfig.shift_max,
    equaliser_prob: Annotated[
        float, typer.Option(help="Share of the clips that are equalised at random.")
    ] = TrainConfig.equaliser_prob,
    equaliser_db: Annotated[
        float, typer.Option(help="Largest gain of the equaliser, dB.")
    ] = TrainConfig.equaliser_db,
    reverb_prob: Annotated[
        float, typer.Option(help="Share of the clips that are put into a room.")
    ] = TrainConfig.reverb_prob,
    noise_prob: Annotated[
        float, typer.Option(help="Share of the clips that get background noise.")
    ] = TrainConfig.noise_prob,
    snr_low_db: Annotated[
        float, typer.Option(help="Loudest noise: signal-to-noise ratio, dB.")
    ] = TrainConfig.snr_low_db,
    snr_high_db: Annotated[
        float, typer.Option(help="Faintest noise: signal-to-noise ratio, dB.")
    ] = TrainConfig.snr_high_db,
    gain_db: Annotated[
        float, typer.Option(help="Make each clip louder or fainter by up to this, dB.")
    ] = TrainConfig.gain_db,
    time_masks: Annotated[
        int, typer.Option(help="Stretches of each clip that are blanked out.")
    ] = TrainConfig.time_masks,
    time_mask_max: Annotated[
        float, typer.Option(help="Longest such stretch, as a share of the window.")
    ] = TrainConfig.time_mask_max,
    frequency_masks: Annotated[
        int, typer.Option(help="Ranges of log-mel bands that are blanked out.")
    ] = TrainConfig.frequency_masks,
    frequency_mask_max: Annotated[
        float, typer.Option(help="Widest such range, as a share of the bands.")
    ] = TrainConfig.frequency_mask_max,
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
    kind: Annotated[
        str | None,
        typer.Option("--features", help="mfcc or log-mel. [default: what suits the network]"),
    ] = None,
    sample_rate: Annotated[
        int, typer.Option(help="Hz that recordings are resampled to.")
    ] = FeatureConfig.sample_rate,
    duration_s: Annotated[
        float | None,
        typer.Option(
            "--duration", help="Window of the model, seconds. [default: the clips' usual length]"
        ),
    ] = None,
    relative: Annotated[
        bool,
        typer.Option(
            "--relative/--absolute",
            help="Whether energies count from the clip's mean: loud and faint are alike.",
        ),
    ] = FeatureConfig.relative,
    running_s: Annotated[
        float,
        typer.Option(
            "--running",
            help="Count energies from a running mean that fades out over so many seconds; 0: from"
            " the clip's mean. [with --streaming: 1]",
        ),
    ] = FeatureConfig.running_s,
    range_db: Annotated[
        float, typer.Option(help="Tell relative energies apart down to this, dB below the mean.")
    ] = FeatureConfig.range_db,
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
    tensorboard: Annotated[
        Path | None,
        typer.Option(
            help="Log each epoch there (pip install 'speechcls[tensorboard]').", metavar="DIR"
        ),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Decode all recordings again, changed or not.")
    ] = False,
    jobs: Jobs = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Train a recogniser on a folder of recordings.

    Speakers are held back for validation and test wherever they are known. Prints the folder of
    the model. Ctrl-C ends early and keeps the best model so far.

    Example: speechcls train data/ --commands yes,no --arch gru --size tiny --recipe fast
    """
    if recipe not in RECIPES:
        raise ConfigError(f"recipe: no {recipe!r}; there are {', '.join(RECIPES)}")
    train_config = dataclasses.replace(RECIPES[recipe], **_given(ctx, TrainConfig))
    # What suits the network is known later; until then the kind that asks for least.
    streaming = streaming or recipe == STREAM
    on_stream = STREAM_FEATURES if streaming else {}
    feature_config = FeatureConfig(**{"kind": "log-mel"} | on_stream | _given(ctx, FeatureConfig))
    on_stream = STREAM_NETWORK if streaming else {}
    network_config = NetworkConfig(**on_stream | _given(ctx, NetworkConfig))
    if size and "hidden_size" in _given(ctx, NetworkConfig):
        raise ConfigError("--size chooses the hidden size; leave out --hidden-size or --size")
    if size and size not in SIZES:
        raise ConfigError(f"size: no {size!r}; there are {', '.join(SIZES)}")
    messages = Messages(quiet, verbose)
    from speechcls.artifact.format import Artifact
    from speechcls.artifact.store import check_place, load_artifact
    from speechcls.data.corpus import load_corpus
    from speechcls.data.layouts import find_examples
    from speechcls.parallel import default_jobs

    # Everything that can be refused is refused before the hours of training.
    source = None
    if from_model:
        fixed = (
            _given(ctx, FeatureConfig)
            | _given(ctx, NetworkConfig)
            | ({"size": size} if size else {})
            | ({"streaming": True} if streaming else {})
        )
        if fixed:
            options = {"kind": "features", "duration_s": "duration", "running_s": "running"}
            names = ", ".join(sorted("--" + options.get(n, n).replace("_", "-") for n in fixed))
            raise ConfigError(
                f"--from {from_model}: its features and network stay; leave out {names}"
            )
        source = load_artifact(from_model)
        feature_config, network_config = source.features, source.network
        duration_s = feature_config.duration_s
    dataset = find_examples(data, pattern, noise)
    place = out or MODELS / f"{dataset.title}-{network_config.arch}"
    check_place(place, force)
    from speechcls.labels import label_of_words
    from speechcls.networks.load import load_backbone
    from speechcls.networks.recogniser import build_recogniser
    from speechcls.networks.size import count_parameters, fit_size
    from speechcls.networks.zoo import feature_kind
    from speechcls.training.loop import choose_device, fit
    from speechcls.training.publish import save_trained
    from speechcls.training.tensorboard import find_writer, logging_to

    if tensorboard:
        find_writer()
    on = choose_device(device)
    if not source and kind is None:
        kind = feature_kind(network_config.arch)
        feature_config = dataclasses.replace(feature_config, kind=kind)
    build_recogniser(feature_config, network_config, range(2), seed)
    with item_bar(messages, "reading", len(dataset.examples)) as on_clip:
        corpus = load_corpus(
            dataset,
            feature_config,
            duration_s,
            split_names("--commands", commands),
            split_names("--test-speakers", test_speakers),
            max_bad,
            jobs or default_jobs(),
            on_clip,
            verify,
        )
    if network_config.readout == "stream" and corpus.labels[-1] != SILENCE:
        raise DatasetError(
            f"{data}: no background sound to train a stream on; name a folder of it with --noise"
        )
    messages.errors(corpus.bad)
    for warning in corpus.warnings:
        messages.warn(warning)
    if size:
        network_config = fit_size(size, corpus.features, network_config, len(corpus.words))
    label_of_output = label_of_words(corpus.words, corpus.labels)
    recogniser = build_recogniser(corpus.features, network_config, label_of_output, seed)
    if source:
        load_backbone(recogniser, source)
    n_parameters = count_parameters(recogniser)
    messages.note(corpus.summary())
    messages.note(
        f"{network_config.arch} with {n_parameters:,} parameters on {on},"
        f" at most {train_config.epochs} epochs"
    )
    with (
        logging_to(tensorboard) as log,
        training_display(messages, train_config.epochs, log) as (on_epoch, on_step),
    ):
        result = fit(recogniser, corpus, train_config, on, on_epoch, on_step, source is not None)
    if result.best is None:
        raise KeyboardInterrupt

    def save(folder: Path) -> float:
        artifact = Artifact(folder, corpus.features, network_config, corpus.labels, corpus.words)
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

    place, accuracy, failed = save_or_rescue(save, place, messages)
    code = FAILED if failed else INTERRUPTED if result.interrupted else 0
    if result.interrupted:
        messages.note("interrupted; the best model so far is kept")
    messages.note(
        f"saved {place}: {100 * accuracy:.1f} % of the validation clips right"
        f" (best epoch {result.best.epoch} of {len(result.history)})"
    )
    shown = {"pattern": pattern, "noise": noise, "model": place}
    options = {f"--{name}": str(value) for name, value in shown.items() if value is not None}
    messages.note(
        f"next: {shlex.join(['speechcls', 'evaluate', str(data), *sum(options.items(), ())])}"
    )
    messages.note(f"      speechcls predict CLIP --model {shlex.quote(str(place))}")
    typer.echo(str(place))
    if code:
        raise typer.Exit(code)


def _given(ctx: typer.Context, config: type[Config]) -> dict[str, Any]:
    """Return what the command line says about the fields of ``config``, without defaults."""
    return {
        name: ctx.params[name]
        for name in config.__dataclass_fields__
        if str(getattr(ctx.get_parameter_source(name), "name", "")) == "COMMANDLINE"
    }
