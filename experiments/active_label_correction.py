"""Active label correction: which labels to fix next, and how to train meanwhile.

Compares methods of active label correction on a data set whose labels are corrupted
on purpose and corrected by an oracle that knows the truth (Kim, ECCV 2022). Try

    python -m experiments.active_label_correction --preset=digits

A run that was killed continues where it was when the same command is given again.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import time

import jax
import numpy as np
from absl import flags

from experiments import correction_report as report
from experiments.common import config_flags, noise, run_folder
from experiments.common.launch import launch
from experiments.presets.active_label_correction import PRESETS, CorrectionConfig
from robustjax import checks, data, methods
from robustjax.methods.correction_arms import describe_arm
from robustjax.training import CheckpointFolder, MetricLog, StopRequest, data_mesh
from robustjax.training.progress import progress_bar

_PRESET = flags.DEFINE_string("preset", None, f"One of {', '.join(PRESETS)}.")
_RUNS = flags.DEFINE_string("run_dir", "runs", "Where run folders go.")
_NAME = flags.DEFINE_string("name", None, "Name of the run; made up by default.")
config_flags.define_flags(CorrectionConfig)


def _check(config: CorrectionConfig) -> CorrectionConfig:
    """Checks what needs no data, and spells "all" out."""
    checks.at_least("repeats", config.repeats, 1)
    checks.one_of("noise", config.noise, noise.MODELS)
    checks.in_range("noise_rate", config.noise_rate, 0, 1)
    names = methods.ARM_NAMES if config.methods == ("all",) else config.methods
    if not names:
        raise ValueError("methods: got none, expected at least one")
    for name in names:
        checks.one_of("methods", name, methods.ARM_NAMES)
    return dataclasses.replace(config, methods=tuple(names))


def _load(config: CorrectionConfig) -> tuple[data.Dataset, data.Dataset]:
    """Training and test set, as features where asked for."""
    train, test = (
        data.load(
            config.dataset,
            split,
            data_dir=_data_dir(config),
            image_size=config.image_size,
        )
        for split in (config.train_split, config.test_split)
    )
    if train.class_names != test.class_names:
        raise ValueError(
            "test_split: its classes differ from those of the training set"
        )
    if config.standardize:
        train, test = data.standardize(train, test)
    return train, test


def _data_dir(config: CorrectionConfig) -> str | None:
    if config.data_dir is not None or "ROBUSTJAX_DATA" not in os.environ:
        return config.data_dir
    return os.path.join(os.environ["ROBUSTJAX_DATA"], "tfds")


def _arm_options(config: CorrectionConfig, noise_rate: float) -> methods.ArmOptions:
    """The arms' settings from the flags."""
    try:
        scale: str | float = float(config.weight_scale)
    except ValueError:
        scale = config.weight_scale
    alc = methods.ActiveLabelCorrection(
        propagation=methods.Propagation(
            mode=config.diffusion_mode,
            neighbors=config.neighbors,
            step_size=config.diffusion_step_size,
            steps=config.diffusion_steps,
            space=config.graph_space,
        ),
        candidates_per_query=config.candidates_per_query or None,
        weight_step=config.weight_step,
        weight_scale=scale,
        freeze_scale=config.freeze_scale,
        loss_pass=config.loss_pass,
        weighting=config.weighting,
        warm_start=config.warm_start,
        extra_epochs=config.extra_epochs,
    )
    return methods.ArmOptions(
        alc=alc,
        noise_rate=noise_rate,
        o2u_net=methods.O2UNet(
            epochs=config.o2u_epochs, batch_size=config.o2u_batch_size
        ),
        simifeat=methods.SimiFeat(passes=config.simifeat_passes),
    )


class _Watcher:
    """Turns epochs into metrics and a progress bar."""

    def __init__(self, log: MetricLog):
        self._log = log
        self.bar = None
        self.method = ""
        self.round_number = 0
        self._epochs = 0

    def __call__(self, kind: str, epoch: int, metrics: dict[str, np.ndarray]) -> None:
        self._epochs += 1
        record = {
            "event": "epoch",
            "method": self.method,
            "round": self.round_number,
            "training": kind,
            "epoch": epoch,
            **{name: float(values.mean()) for name, values in metrics.items()},
        }
        self._log.write(record, step=self._epochs, group=self.method)
        if self.bar is not None:
            # Some arms train twice in a round; the bar learns it as they do.
            if self.bar.n >= self.bar.total:
                self.bar.total += 1
            self.bar.set_postfix(
                round=self.round_number, loss=f"{record['loss']:.3f}", refresh=False
            )
            self.bar.update(1)


def _run_arm(
    run: methods.CorrectionRun,
    task: noise.NoisyTask,
    oracle: methods.correction_loop.Oracle,
    folder: pathlib.Path,
    log: MetricLog,
    watcher: _Watcher,
    stop: StopRequest,
) -> report.ArmResult:
    """Runs (or continues) one arm to its end."""
    name, budget = run.arm.name, run.budget
    checkpoints = CheckpointFolder(folder / name / "checkpoints")
    state, done = run.start(task.labels), 0
    found = checkpoints.restore_latest(state, report=lambda text: print(text))
    if found is not None:
        done, state, _ = found
    # The last checkpoint, of the final training, counts as a round of its own.
    total = budget.rounds + 1
    log.rewind(lambda record: record["method"] != name or record["round"] < done)
    epochs = run.trainer.settings.epochs
    watcher.method = name
    with progress_bar(
        total * epochs, f"{name:>12}", unit="epoch", done=done * epochs
    ) as bar:
        watcher.bar = bar
        for number in range(done, total):
            watcher.round_number = number
            started = time.monotonic()
            record = {"event": "round", "method": name, "round": number}
            if number < budget.rounds:
                state, picks, _ = run.propose(state, number)
                state = run.receive(state, number, oracle(picks))
                noisy = np.take_along_axis(task.is_noisy, picks, axis=1)
                record["selection_accuracy"] = float(noisy.mean())
            else:
                _, state = run.finish(state)
            each = np.asarray(state.accuracy[:, number])
            record |= {
                "labels": budget.asked(number),
                "accuracy": float(each.mean()),
                "accuracy_of_repeats": [round(float(a), 6) for a in each],
                "seconds": round(time.monotonic() - started, 3),
            }
            log.write(record, step=budget.asked(number), group=name)
            checkpoints.save(number + 1, state)
            stop.check()
    picks = np.asarray(state.picks)
    np.save(folder / name / "indices.npy", picks)
    return report.ArmResult(
        accuracy=np.asarray(state.accuracy),
        selection=methods.selection_accuracy(picks, task.is_noisy, budget),
        picks=picks,
    )


def main(stop: StopRequest) -> None:
    """Loads, corrupts, runs every arm, and reports."""
    config = config_flags.read_config(
        CorrectionConfig, PRESETS, _PRESET.value, flags.FLAGS
    )
    config = _check(config)
    if _PRESET.value:
        print(f"preset {_PRESET.value}: {PRESETS[_PRESET.value]}")
    train, test = _load(config)
    budget = methods.Budget(config.budget, config.batch)
    budget.check(len(train))
    if config.neighbors >= len(train):
        raise ValueError(
            f"neighbors: got {config.neighbors} for {len(train)} examples, expected "
            f"1 … {len(train) - 1}"
        )
    noise_keys, run_keys = jax.random.split(
        jax.random.key(config.seed), (2, config.repeats)
    )
    task = noise.make_noise(
        config.noise,
        train,
        noise_keys,
        rate=config.noise_rate,
        include_true=config.noise_include_true,
        scope=config.noise_scope,
        label_file=config.noisy_labels,
        noisy=_with_noisy_key(config),
    )
    settings = methods.ClassifierSettings(
        hidden=config.hidden,
        epochs=config.epochs,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        drop_every_epochs=config.drop_every_epochs,
        drop_factor=config.drop_factor,
    )
    options = _arm_options(config, float(task.is_noisy.mean()))
    arms = [methods.make_arm(name, options) for name in config.methods]

    name = _NAME.value or _PRESET.value or pathlib.Path(config.dataset).stem
    if not _NAME.value and config.noise != "uniform":
        name += f"-{config.noise}"
    folder = run_folder.open_run_folder(
        os.path.join(_RUNS.value, "active_label_correction"), name, config
    )
    print(f"{train.name}: {len(train):,} examples, {train.num_classes} classes")
    print(f"{task.description}\nrun folder {folder}")
    np.save(folder / "ids.npy", train.ids)

    log = MetricLog(folder)
    watcher = _Watcher(log)
    trainer = methods.RoundTrainer(
        train.inputs,
        train.num_classes,
        settings,
        mesh=data_mesh() if jax.device_count() > 1 else None,
        on_epoch=watcher,
        stop=stop,
    )
    oracle = methods.simulated_oracle(train.labels)
    results: dict[str, report.ArmResult] = {}
    for arm in arms:
        (folder / arm.name).mkdir(exist_ok=True)
        run = methods.CorrectionRun(
            arm,
            trainer,
            budget,
            run_keys,
            test_inputs=test.inputs,
            test_labels=test.labels,
        )
        results[arm.name] = _run_arm(run, task, oracle, folder, log, watcher, stop)
    log.close()

    report.write_summary(folder, results, budget)
    title = f"{train.name}, {task.description}, {config.repeats} repeats"
    report.plot(folder, results, budget, title)
    print(f"\n{report.accuracy_table(results, budget)}")
    print(f"\n{report.selection_table(results, budget)}\n")
    for name in results:
        print(f"  {name}: {describe_arm(name)}")
    text = report.meaning(results, budget, float(task.is_noisy.mean()))
    if text:
        print(f"\n{text}")
    print(f"\nplot: {folder / 'accuracy.png'}   table: {folder / 'summary.csv'}")


def _with_noisy_key(config: CorrectionConfig) -> data.Dataset | None:
    if config.noisy_label_key is None:
        return None
    return data.load(
        config.dataset,
        config.train_split,
        data_dir=_data_dir(config),
        label_key=config.noisy_label_key,
    )


if __name__ == "__main__":
    launch(main)
