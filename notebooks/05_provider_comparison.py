# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Providers side by side
#
# The same work at every connection, in measures that can be compared: how much is there, how fast it comes, how often
# it fails, contradicts or cannot be used. Numbers belong to a connection as it is set up here, not to a product.
#
# `DAYS` is how far to look back; `None` is everything. Everything is read from the newest **snapshot** of the warehouse:
# no health data.

# %%
from holovitals_pipelines.workbench import charts, open_workbench, provider_charts
from holovitals_pipelines.workbench.chart_style import NOTHING_YET
from holovitals_pipelines.workbench.tables import table

DAYS = 30

bench = open_workbench()
bench

# %% [markdown]
# ## The measures
#
# Each panel has a scale of its own. What to look for: a vendor whose *slow request* is many times its *usual request*
# (ask for smaller pages); one that *refuses* much (a rule set or the vendor's own data); one that makes you *wait* (its
# limits are reached: sync it at another hour).

# %%
providers = bench.providers(days=DAYS)
provider_charts.compared(providers)

# %%
shown = ["connection", "provider", "jobs", "success_rate", "resources_read", "requests", "resource_types", "last_sync_at"]
table(providers[shown], nothing=NOTHING_YET)

# %% [markdown]
# ## What each one holds
#
# Records by type. An empty cell is a type that the vendor's interface does not give, or that the connection does not
# ask for: `holovitals connections test NAME` says which.

# %%
provider_charts.coverage(bench.records())

# %% [markdown]
# ## Whom they have in common
#
# Persons that both connections know, as identity has joined them (`docs/identity.md`). Many patients in common and a
# small number here point to identifiers that only one of the two tells.

# %%
provider_charts.overlap(bench.person_overlap())

# %% [markdown]
# ## What requests cost
#
# The five slowest operations of each: the filled dot is the usual time, the open one the slow twentieth.

# %%
charts.latency(bench.latency(days=DAYS).groupby("connection").head(5))

# %% [markdown]
# ## What they let us write
#
# Writes by state; *unguarded* went to a vendor that cannot refuse a stale one. What stays different because a vendor
# takes no write there is in `02_conflicts.ipynb`.

# %%
table(bench.writes(days=DAYS), nothing="Nothing was to be written yet.")

# %% [markdown]
# What each of them answers in the wrong moment: errors by connection, the newest first.

# %%
errors = bench.errors(days=DAYS)
table(errors[["connection", "stage", "severity", "code", "times", "last_at", "message"]], nothing="No errors.")

# %% [markdown]
# `docs/analysts.md` describes the frames, `docs/connections.md` the settings that change these numbers.
