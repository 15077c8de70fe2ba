"""Training as compiled programs over explicit state."""

from robustjax.training.checkpoints import CheckpointError as CheckpointError
from robustjax.training.checkpoints import CheckpointFolder as CheckpointFolder
from robustjax.training.epoch import train_step as train_step
from robustjax.training.execution import Execution as Execution
from robustjax.training.execution import choose_execution as choose_execution
from robustjax.training.fit import fit as fit
from robustjax.training.health import NonFiniteLossError as NonFiniteLossError
from robustjax.training.interruption import InterruptedRunError as InterruptedRunError
from robustjax.training.interruption import StopRequest as StopRequest
from robustjax.training.interruption import stop_on_signals as stop_on_signals
from robustjax.training.mesh import data_mesh as data_mesh
from robustjax.training.metrics import MetricLog as MetricLog
from robustjax.training.program import Program as Program
from robustjax.training.state import Algorithm as Algorithm
from robustjax.training.state import TrainData as TrainData
from robustjax.training.state import TrainState as TrainState
from robustjax.training.supervised import as_float as as_float
from robustjax.training.supervised import supervised as supervised
