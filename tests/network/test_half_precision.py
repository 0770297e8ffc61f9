"""What mixed precision does to cuDNN's LSTM, on which `configs/gpu_mixed.yaml` and `configs/pixels.yaml` rest."""

import pytest
import torch
from conftest import GPU_MARKS
from torch import Tensor

from mnist_lstm.network.model import RowLSTM

pytestmark = list(GPU_MARKS)


def memory(network: RowLSTM, images: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the cell states after the last step, under autocast."""
    with torch.inference_mode(), torch.autocast("cuda", dtype=dtype, enabled=dtype != torch.float32):
        return network.rnn(network.to_sequence(images))[1][1]


def test_autocast_to_bfloat16_runs_the_lstm_in_float16() -> None:
    # if this fails, PyTorch has mended it: change configs/gpu_mixed.yaml and configs/README.md
    assert memory(RowLSTM().cuda(), torch.zeros(2, 28, 28, device="cuda"), torch.bfloat16).dtype == torch.float16


@pytest.mark.parametrize("scan_order", ["rows", "pixels"])
def test_float16_loses_digits_of_a_long_memory(scan_order: str) -> None:
    torch.manual_seed(0)
    network = RowLSTM(bidirectional=False, scan_order=scan_order, init="chrono")
    images = torch.randn(64, 28, 28)
    with torch.inference_mode():
        exact = network.double().rnn(network.to_sequence(images.double()))[1][1].cuda()
    network.float().cuda()
    error = {}
    for dtype in (torch.float32, torch.float16):
        difference = memory(network, images.cuda(), dtype).double() - exact
        error[dtype] = float(difference.norm() / exact.norm())
    print(scan_order, error)
    assert error[torch.float32] < 0.001
    assert (error[torch.float16] > 0.001) is (scan_order == "pixels"), error
