"""What people answered about examples: read, kept, weighed against each other."""

from robustjax.answers._log import Answer as Answer
from robustjax.answers._log import Asked as Asked
from robustjax.answers._log import History as History
from robustjax.answers._log import Question as Question
from robustjax.answers._log import Submission as Submission
from robustjax.answers._log import append_event as append_event
from robustjax.answers._log import read_history as read_history
from robustjax.answers._said import NONE as NONE
from robustjax.answers._said import OPEN as OPEN
from robustjax.answers._said import UNKNOWN as UNKNOWN
from robustjax.answers._said import check_words as check_words
from robustjax.answers._said import parse_said as parse_said
from robustjax.answers._said import said_text as said_text
from robustjax.answers._standing import NEVER as NEVER
from robustjax.answers._standing import Disagreement as Disagreement
from robustjax.answers._standing import Standing as Standing
from robustjax.answers._standing import disagreements as disagreements
from robustjax.answers._standing import last_words as last_words
from robustjax.answers._standing import standing as standing
from robustjax.answers._table import AnswerTable as AnswerTable
from robustjax.answers._table import read_answers as read_answers
from robustjax.answers._taken_in import TakenIn as TakenIn
from robustjax.answers._taken_in import taken_in as taken_in
from robustjax.data._annotation_exports import EXPORT_SUFFIXES as EXPORT_SUFFIXES
