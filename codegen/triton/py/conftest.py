"""Where pytest runs the kernels: on a device, or under Triton's interpreter with its number formats repaired."""

import numpy
import pytest
import torch

import torch_cases

if torch_cases.INTERPRETED:
    import numerics

    numerics.repair()
    numerics.interpret_everywhere()
    numpy.seterr(all="ignore")  # integers wrap and infinities arise, as on a device


def pytest_addoption(parser):
    parser.addoption("--device", help="what torch calls the device: cuda, npu, musa, ...; without it, cuda")


def pytest_configure(config):
    if torch_cases.INTERPRETED:
        # Triton converts arrays of one element to numbers, which numpy says it will forbid.
        config.addinivalue_line("filterwarnings", "ignore:Conversion of an array:DeprecationWarning")
        return
    torch_cases.DEVICE = config.getoption("--device") or "cuda"
    try:
        torch.empty(1, device=torch_cases.DEVICE)
    except (AssertionError, RuntimeError) as error:
        raise pytest.UsageError(
            f"no device {torch_cases.DEVICE}: {error}; name another with --device, or set TRITON_INTERPRET=1"
        ) from error


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(1)
