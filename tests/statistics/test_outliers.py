import pytest
import torch

import leastwork as lw
from leastwork.statistics.outliers import outliers, warn_of_outliers


def normal(n: int) -> torch.Tensor:
    return torch.randn(n, 4, 3, generator=torch.Generator().manual_seed(0))


def test_a_sample_that_blew_up_is_found_and_named():
    x = normal(2000)
    x[17] = 300.0
    assert outliers(x).tolist() == [17]
    with pytest.warns(lw.LeastworkWarning, match=r"1 sample of the model's own 2000 .* index 17"):
        warn_of_outliers(x)


def test_usual_samples_are_left_alone():
    warn_of_outliers(normal(5000))
    warn_of_outliers((normal(500), normal(500)[..., None].expand(-1, -1, -1, 3)))
    assert len(outliers(torch.zeros(10, 2))) == 0
    assert len(outliers(normal(100))) == 0


@pytest.mark.filterwarnings("ignore:at t = 1, where samples begin as noise alone")
def test_guiding_says_so():
    def net(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return torch.where(x[:, :1].abs() > 3.9, 60.0 * x.sign() / t, -x)  # away, from where few samples come

    model = lw.DiffusionModel(net, lw.VPSchedule(), predicts="score", event_shape=(1,))
    data = lw.Experiment(lw.Observable(lambda x: x.clamp(-2, 2), names=("x",)), values=[0.1], errors=[0.0])
    with pytest.warns(lw.LeastworkWarning, match="blew up"):
        lw.guide_observables(model, data, "reweight", samples=4000, steps=40)
