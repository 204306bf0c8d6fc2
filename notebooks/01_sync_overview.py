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
# # Sync overview
#
# How the local clinical store and the connected EHR systems stand to each other: what was brought in, what changed,
# what needs a person, and where the time goes. Run the cells from top to bottom (*Run → Run All Cells*).
#
# Everything here is read from the newest finished **snapshot** of the warehouse. A snapshot holds counts and
# timings, no health data, and reading it never holds up a sync.

# %%
from holovitals_pipelines.workbench import charts, open_workbench
from holovitals_pipelines.workbench.cards import overview_cards
from holovitals_pipelines.workbench.tables import table

bench = open_workbench()

# %% [markdown]
# ## At a glance
#
# A green edge with ✓ means nothing to do. An orange edge with **!** means that a person should look: open conflicts
# wait for a decision, quarantined resources were refused and kept, failing checks are described further down.

# %%
overview_cards(bench.overview(), bench.headline())

# %% [markdown]
# ## What the last job of each connection brought
#
# One line per resource type. **extracted** is what the vendor sent; it is the sum of what became of it: **created**
# (new here), **updated** (took the vendor's change), **unchanged** (same content as at the last agreement),
# **conflicts** (both sides changed: recorded, nothing overwritten), **quarantined** (refused and kept), and the few
# repeated or outdated readings that are not shown here. Of the conflicts, **held** ones wait for a person; **pushed**
# counts what was written to the vendor. The notebook `02_conflicts` has more of both.

# %%
table(bench.latest_outcome(), nothing="No job has brought anything yet.")

# %% [markdown]
# ## Trend
#
# Resources read per day and connection, and how the day's jobs ended. A line that falls to zero while jobs go on
# completing deserves a question to the vendor; failed jobs are explained under *Errors*.

# %%
charts.trend(bench.trend(days=30))

# %% [markdown]
# ## Volumes by resource type
#
# All readings of the last 30 days. After the first full sync most of a bar should be grey (*unchanged*): the vendor
# was asked, and nothing had happened.

# %%
charts.volumes(bench.volumes(days=30))

# %% [markdown]
# ## Where the time goes
#
# Working time of each stage: **extract** (asking the vendor), **transform** (into canonical records, with
# validation), **reconcile** (deciding and storing), **write back** (changes of this side, sent and read back).

# %%
charts.stages(bench.slowest_stages(days=30))

# %% [markdown]
# What single requests cost, by operation. The filled dot is the usual time, the open one the slow twentieth.

# %%
charts.latency(bench.latency(days=30))

# %% [markdown]
# ## Data quality
#
# The newest result of every check that found something, failing ones first. Checks of severity ERROR are about the
# shape of a batch: where one fails, nothing after it runs. A WARNING is about single records, which are stored all the
# same; some exceptions are ordinary, so a check may pass with a few **unexpected** records. `bench.quality()` has all.

# %%
quality = bench.quality()
remarkable = quality[~quality.passed.astype(bool) | (quality.unexpected > 0)]
table(remarkable, nothing=f"{len(quality)} checks have run and none found anything." if len(quality) else "No check has run yet.")

# %% [markdown]
# ## Quarantine
#
# Resources that could not be used, by the rule they broke and the element that broke it. They are kept whole, and the
# rest of their batch went on without them.

# %%
table(bench.quarantine(), nothing="Nothing is held in quarantine.")

# %% [markdown]
# ## Errors
#
# Errors and warnings of the last 30 days, equal ones counted together, newest first; **remedy** says what to do.

# %%
table(bench.errors(days=30), nothing="No errors and no warnings in the last 30 days.")

# %% [markdown]
# ## Recent jobs

# %%
table(bench.recent_jobs(limit=10), nothing="No job has been asked for yet.")

# %% [markdown]
# ## How fresh the data is
#
# Up to which moment, by the vendor's clock, everything of a type has been read. The oldest comes first.

# %%
table(bench.freshness(), nothing="Nothing has been read to its end yet.")

# %% [markdown]
# To see newer jobs, run `bench.refresh()` in a cell of its own and then the cells above again.
# Each `bench.…()` above is a pandas frame to work with; `bench.sql("select …")` asks the snapshot anything else.
# `docs/analysts.md` describes the frames.
