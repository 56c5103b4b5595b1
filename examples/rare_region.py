# %% [markdown]
# # I have a dozen structures of a rare state
#
# The bundled model `muller-brown` has one sample in a thousand near the saddle of its energy surface. We know twelve
# points there and want thousands of samples, and the free energy of the region.

# %%
import torch

import leastwork as lw
from leastwork.kernels.region import Ball
from leastwork.support.progress import bar
from leastwork.systems.muller_brown import SADDLE, muller_brown

model, saddle = lw.load_model("muller-brown"), Ball(SADDLE, 0.1)
points = muller_brown().sample(20_000, torch.Generator().manual_seed(0)).float()
guides = points[saddle(points)][:12]
guides.shape

# %% [markdown]
# The published form pulls the samples towards the known points. It needs no learning, so it is quick; it wastes work,
# and the certificate says how much. For real work leave out `"transported"` and the budget: then the guidance of least
# work is learned, which takes a few minutes.

# %%
run = lw.guide_path(
    model, guides, "transported", region=saddle, seed=0,
    samples=2000, budget=800_000, certificate_samples=2000, progress=bar,
)  # fmt: skip
run

# %%
print("share of samples in the region:", run.success)
print("free energy of the region, k_BT:", run.free_energy)
run.certificate

# %% [markdown]
# The samples inside the region, with weights that make their averages those of the model in the region:

# %%
inside = run.inside(run.certificate_ensemble)
place = lw.Observable(lambda x: x, names=("x", "y"))
inside.to_xarray(place)

# %%
axes = inside.plot(place)
