"""What all tests share: the seed, and the environment in which scikit-learn's checks skip nothing."""

import os
import signal

os.environ["SCIPY_ARRAY_API"] = "1"  # read once, when scipy and scikit-learn are imported

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.configuration import set_hypothesis_home_dir

#: the same 200 examples of each property in every run; ``--hypothesis-profile=hunt`` looks for others, and for longer
settings.register_profile(
    "suite", max_examples=200, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)
settings.register_profile("hunt", settings.get_profile("suite"), max_examples=5000, derandomize=False, print_blob=True)
settings.load_profile("suite")


def _seeds():
    """Seeds named by ``SKRNN_TESTS_GLOBAL_RANDOM_SEED``: a number, a range such as "3-7", or "all" for 0 to 99."""
    value = os.environ.get("SKRNN_TESTS_GLOBAL_RANDOM_SEED", "0")
    if value == "all":
        return range(100)
    first, _, last = value.partition("-")
    return range(int(first), int(last or first) + 1)


@pytest.fixture(params=_seeds(), ids=lambda seed: f"seed{seed}")
def global_random_seed(request):
    """Return a seed, with which a test must pass whatever it is."""
    return request.param


@pytest.fixture(autouse=True, scope="session")
def no_files_of_hypothesis(tmp_path_factory):
    """It would keep a folder of its own where the tests are run."""
    set_hypothesis_home_dir(tmp_path_factory.mktemp("hypothesis"))


@pytest.fixture(autouse=True, scope="session")
def heed_ctrl_c():
    """Take Python's own handler of Ctrl-C: shells start background jobs with the signal ignored."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)
