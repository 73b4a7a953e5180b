"""Whether jobs that run on this machine find their device, asked before results of earlier runs are replaced."""

from __future__ import annotations

import json
import subprocess
import sys

from synthseg_core.app.snakemake import child_environment
from synthseg_core.errors import UsageError

# Every machine has these.
_EVERYWHERE = ("auto", "cpu")
# In a process of its own: torch takes seconds and memory that this one does not need otherwise.
_QUESTION = """\
import json, sys
from synthseg_core.networks.devices import choose_device
from synthseg_core.errors import SynthSegError
try:
    choose_device(sys.argv[1])
except SynthSegError as error:
    print(json.dumps(error.record()))
"""


def require_device(name: str) -> None:
    """Raise ``UsageError`` if this machine has no such device, or nobody could find out."""
    if name in _EVERYWHERE:
        return
    words = [sys.executable, "-c", _QUESTION, name]
    done = subprocess.run(words, env=child_environment(), stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise UsageError(
            "--device",
            found=f"a failure of status {done.returncode} when asking for {name}",
            expected="torch to answer",
            remedy="see above, or use --device cpu",
        )
    if done.stdout:
        fault = json.loads(done.stdout)
        raise UsageError("--device", found=fault["found"], expected=fault["expected"], remedy=fault["remedy"])
