"""The command line: verbs, options, help, and how a command ends.

Nothing that is imported here needs JAX: help is there at once, and what a verb needs is
loaded when it runs.
"""

from robustjax.tools.command.entry import main as main
from robustjax.tools.command.entry import run as run
