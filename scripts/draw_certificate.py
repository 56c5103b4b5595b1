"""The picture of the page on the certificate: the work of least-work guidance and of the published form for one datum.

python scripts/draw_certificate.py
"""

from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt

import leastwork as lw

IMAGE = Path(__file__).parents[1] / "docs/images/certificate.png"
FITS: dict[str, dict[str, Any]] = {
    "least-work": {"budget": 2_000_000},
    "scheduled": {"samples": 20_000, "fit_samples": 2000},
}


def main() -> None:
    model = lw.load_model("prinz")
    data = lw.Experiment(lw.Observable(lambda x: x[:, 0], names="position"), values=[0.096], errors=[0.0])
    figure, axes = plt.subplots(1, 2, figsize=(8, 2.2), layout="constrained", sharex=True)
    for one, (method, settings) in zip(axes, FITS.items(), strict=True):
        run = lw.guide_observables(model, data, method, seed=0, certificate_samples=4000, **settings)
        certificate = run.certificate
        print(method, certificate)
        certificate.plot(one).set_title(f"{method}: efficiency {certificate.efficiency.value:.0%}")
    figure.savefig(IMAGE, dpi=110)


if __name__ == "__main__":
    main()
