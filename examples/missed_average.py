# %% [markdown]
# # My ensemble misses a measured number
#
# The bundled model `prinz` draws positions of a particle in a potential with four wells. Its mean position is wrong: an
# experiment says 0.096. We ask how far off the model is, whether weights alone would do, and what guidance costs.

# %%
import leastwork as lw
from leastwork.support.progress import bar

model = lw.load_model("prinz")
model

# %% [markdown]
# An observable is a function of a batch of states. The experiment holds what was measured, with its standard error.

# %%
position = lw.Observable(lambda x: x[:, 0], names="mean position")
data = lw.Experiment(position, values=[0.096], errors=[0.005])
data

# %% [markdown]
# ## How far is the model from the measurement?

# %%
own = lw.sample(model, 4000, seed=3)
own.mean(position)

# %% [markdown]
# ## Weights alone
#
# `reweight` leaves the samples where they are and gives each a weight. The table shows the least work that meets the
# datum, and the share of effective samples that the weights leave.

# %%
weighed = lw.guide_observables(model, data, "reweight", samples=20_000, seed=0)
weighed.maxent

# %% [markdown]
# ## Guidance
#
# Least-work guidance learns to move the samples. The small budget keeps this example short; leave it out for real work.

# %%
run = lw.guide_observables(model, data, seed=0, budget=400_000, iterations=400, certificate_samples=4000, progress=bar)
run.certificate

# %%
axes = run.plot()

# %% [markdown]
# The samples of the certificate, as a table for pandas, and as a histogram under each distribution:

# %%
ensemble = run.certificate_ensemble
table = ensemble.to_dataframe(position)
table.describe()

# %%
histograms = ensemble.plot(position)

# %% [markdown]
# `run.report("my-run")` writes a page with all of this, and `lw.load_run("my-run")` goes on from there.
