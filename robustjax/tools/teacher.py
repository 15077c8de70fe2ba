"""A teacher by options: an endpoint's or this machine's language model."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from robustjax import checks
from robustjax.data import Record
from robustjax.methods import instructions
from robustjax.methods.instructions import PromptedRanker, Ranking, TeacherReport
from robustjax.output_paths import check_output_file
from robustjax.tools.command.output import say
from robustjax.tools.options.select_instructions import TeacherFlags
from robustjax.training import StopRequest, progress_bar


def check_teacher(config: TeacherFlags) -> bool:
    """Whether the flags name a teacher.

    Raises:
      ValueError: half of one, two of them, or a flag that neither takes.
    """
    if config.base_url is not None and config.model_folder is not None:
        raise ValueError(
            f"model_folder: got {config.model_folder!r} beside base_url, expected one"
        )
    served = config.base_url is not None
    for name in ("model", "answers"):
        given = getattr(config, name)
        if served and given is None:
            raise ValueError(f"{name}: got nothing, expected --{name}=… with base_url")
        if given is not None and not served:
            raise ValueError(f"{name}: got {given!r} without base_url")
    for names, whose, asked in (
        (("constraint", "concurrency", "max_tokens"), "", served),
        (("form", "calls"), " or model_folder", served or config.model_folder),
    ):
        for name in names:
            given = getattr(config, name)
            if not asked and given != getattr(TeacherFlags, name):
                raise ValueError(f"{name}: got {given!r} without base_url{whose}")
    if config.form == "choice" and config.model_folder is not None:
        raise ValueError(
            "form: got 'choice' with model_folder, expected letters or text"
        )
    if config.answers is not None and not os.path.exists(config.answers):
        check_output_file("answers", config.answers)
    return served or config.model_folder is not None


def prompted_ranker(config: TeacherFlags, *, check: bool = True) -> PromptedRanker:
    """The ranker that the flags name; asks nothing.

    Args:
      config: that names one, see `check_teacher`.
      check: whether the server must be there.

    Raises:
      ValueError: a server that is not there, or a folder that holds no model.
    """
    asker: instructions.Asker
    if config.model_folder is not None:
        with checks.errors_name(folder="model_folder"):
            asker = instructions.load_local_model(config.model_folder)
    else:
        assert config.base_url is not None
        assert config.model is not None
        assert config.answers is not None
        with checks.errors_name(api_key_variable="key_variable", cache="answers"):
            asker = endpoint = instructions.Endpoint(
                config.base_url,
                config.model,
                config.answers,
                api_key_variable=config.key_variable or None,
                constraint=config.constraint,  # type: ignore[arg-type]
                concurrency=config.concurrency,
                max_tokens=config.max_tokens or None,
            )
            if check:
                endpoint.check()
    return PromptedRanker(
        asker,
        form=config.form,  # type: ignore[arg-type]
        calls=config.calls or None,
        # Small enough for the bar to move.
        chunk=1 if config.model_folder is not None else 16,
    )


class NothingAsked(Exception):  # noqa: N818
    """A dry run has said what it had to say."""


class DryRun:
    """Says what a teacher behind a server would be asked. Implements `Ranker`."""

    def __init__(self, ranker: PromptedRanker):
        """Takes the ranker of an endpoint."""
        assert isinstance(ranker.asker, instructions.Endpoint)
        self._ranker, self._endpoint = ranker, ranker.asker

    def rank(
        self, instruction_groups: Sequence[Sequence[Record]], seed: int
    ) -> list[Ranking]:
        """Never ranks.

        Raises:
          NothingAsked: always, after it said what asking would take.
        """
        questions = self._ranker.questions(instruction_groups, seed)
        estimate = self._endpoint.estimate(questions)
        say(
            f"{estimate.questions:,} questions, {estimate.cached:,} of them "
            f"answered before; about {estimate.prompt_tokens:,} tokens to read and "
            f"at most {estimate.answer_tokens:,} to write; nothing was asked"
        )
        raise NothingAsked


class Teacher:
    """A ranker with a bar, that says what came of it. Implements `Ranker`."""

    def __init__(
        self,
        ranker: PromptedRanker,
        stop: StopRequest,
        tell: Callable[[TeacherReport], None],
    ):
        """Asks nothing yet.

        Args:
          ranker: who is asked.
          stop: checked after every chunk of groups.
          tell: called with what was asked and how it was answered.
        """
        self._ranker, self._stop, self._tell = ranker, stop, tell

    def rank(
        self, instruction_groups: Sequence[Sequence[Record]], seed: int
    ) -> list[Ranking]:
        """See `Ranker.rank`."""
        with progress_bar(len(instruction_groups), "teacher", unit="group") as bar:

            def advance(done: int) -> None:
                bar.update(done - bar.n)
                self._stop.check()

            rankings, report = self._ranker.rank_with_report(
                instruction_groups, seed, on_groups=advance
            )
        self._tell(report)
        return rankings


def counted(report: TeacherReport) -> dict[str, Any]:
    """What a report says, JSON-serialisable, without the single calls."""
    counts = {k: v for k, v in report._asdict().items() if k != "calls"}
    counts["asked"] = report.asked._asdict()
    counts["first_by_position"] = {
        str(size): shares.tolist()
        for size, shares in instructions.first_by_position(report.calls).items()
    }
    return counts
