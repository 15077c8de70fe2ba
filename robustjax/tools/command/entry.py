"""The entry of the command: errors of one line, stops that can be resumed."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from robustjax.tools.command.ending import BAD_ARGUMENT, ending
from robustjax.tools.command.output import surviving_streams
from robustjax.tools.command.parser import make_parser
from robustjax.tools.command.typed import as_typed
from robustjax.tools.command.verbs import VERBS, Verb


def main() -> None:
    """Runs what `sys.argv` says, and ends the process."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Runs a verb.

    Every way to end is one line on standard error and a status: bad arguments 2;
    divergence, a full disk or memory, and files that can no longer be read or written
    1; SIGTERM 143 and Ctrl-C 130, with a hint on how to continue. A second signal ends
    the process at once. Where nobody reads standard output any more, the run goes on.

    Args:
      arguments: of the command line, without the program.

    Returns:
      The exit status.
    """
    with surviving_streams():
        if arguments and not arguments[0].startswith("-") and arguments[0] not in VERBS:
            line = _unknown("verb", arguments[0], list(VERBS))
            return _end(f"error: {line}", BAD_ARGUMENT)
        parser = make_parser(_perform)
        try:
            parser.main(list(arguments), prog_name="robustjax", standalone_mode=False)
        except _EndedError as ended:
            return _end(str(ended), ended.status)
        except click.exceptions.NoArgsIsHelpError as error:
            return _end(error.format_message(), BAD_ARGUMENT)
        except click.ClickException as error:
            return _end(f"error: {_one_line(error)}", BAD_ARGUMENT)
        except (click.Abort, KeyboardInterrupt):
            line, status = ending(KeyboardInterrupt()) or ("", 1)
            return _end(line, status)
        except ValueError as error:
            # Of a single option: nothing is loaded yet.
            return _end(f"error: {as_typed(str(error))}", BAD_ARGUMENT)
    return 0


class _EndedError(Exception):
    """A verb has ended with an error that is for people."""

    def __init__(self, line: str, status: int):
        super().__init__(line)
        self.status = status


def _end(line: str, status: int) -> int:
    print(line, file=sys.stderr)
    return status


def _one_line(error: click.ClickException) -> str:
    """The parser's own errors, in the form of ours."""
    if isinstance(error, click.NoSuchOption):
        known = [name for each in _parameters(error.ctx) for name in each]
        return _unknown("option", error.option_name, known)
    return " ".join(error.format_message().split())


def _parameters(context: click.Context | None) -> Iterator[Sequence[str]]:
    for each in context.command.params if context is not None else ():
        yield [*each.opts, *each.secondary_opts]


def _unknown(kind: str, name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name.replace("_", "-"), known, n=1)
    return f"unknown {kind} {name}{f'; did you mean {near[0]}?' if near else ''}"


def _perform(verb: Verb, given: dict[str, Any], devices: Mapping[str, Any]) -> None:
    config = verb.config_class(**given)
    try:
        # Loaded only now, and it can fail: see `ending`.
        done = verb.load()
        from robustjax.tools.decoded_cache import VARIABLE
        from robustjax.tools.session import session

        if devices.get("no_cache"):
            os.environ[VARIABLE] = ""
        with session(devices.get("jax_platforms"), computes=verb.computes) as stop:
            done(config, stop)
            # What still waits in buffers can fail, too.
            if sys.stdout is not None:
                sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:
        found = ending(error, tuple(vars(config)))
        if found is None:
            raise
        line, status = found
        there = {**given, **devices}
        raise _EndedError(as_typed(line, verb.config_class, there), status) from None
