"""transformers' model classes come without scikit-learn and scipy, which others can still import."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
from edgeconv.core.lean_transformers import import_models
import_models()
from transformers import AutoModelForCausalLM, LlamaForCausalLM
print([name for name in sys.modules if name.partition(".")[0] in ("sklearn", "scipy")])
import scipy.optimize
import_models()
print(scipy.optimize.linear_sum_assignment.__name__)
"""


def test_models_come_without_scikit_learn_and_scipy() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["[]", "linear_sum_assignment"]


SEEN = """
from transformers.utils import import_utils
assert import_utils.is_scipy_available() and import_utils.is_sklearn_available()
from edgeconv.core.lean_transformers import import_models
import_models()
"""


def test_what_transformers_has_seen_before_is_forgotten() -> None:
    """Else it takes scipy for installed and finds none: `edgeconv search` ended so."""
    done = subprocess.run([sys.executable, "-P", "-c", SEEN], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
