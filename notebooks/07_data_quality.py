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
# # Data quality
#
# Three nets, one behind the other. What is not valid FHIR is **refused** and kept in quarantine. What is valid is
# **checked** batch by batch: claims about its shape (ERROR, holds the batch back) and about single records (WARNING).
# And persons who may be one are **proposed** to somebody who knows them.
#
# `DAYS` is how far to look back; `None` is everything. Everything is read from the newest **snapshot** of the warehouse:
# no health data.

# %%
from holovitals_pipelines.workbench import open_workbench, quality_charts
from holovitals_pipelines.workbench.chart_style import NOTHING_YET
from holovitals_pipelines.workbench.tables import table

DAYS = 30

bench = open_workbench()
bench

# %% [markdown]
# ## Checks
#
# Each type at each connection in the colour of its worst check; the number is how many records broke one. Ordinary
# exceptions are allowed for, so most cells may be green or blue for ever.

# %%
quality = bench.quality()
quality_charts.checks(quality)

# %% [markdown]
# What failed or found something, the failing ones first: **unexpected** of **rows** records broke the claim.

# %%
found = quality[~quality.passed.astype(bool) | (quality.unexpected > 0)]
none = f"{len(quality)} checks have run and none found anything." if len(quality) else NOTHING_YET
table(found.drop(columns=["expectation", "at"]), nothing=none)

# %% [markdown]
# ## By day
#
# A step means that something has changed: at the vendor, in a rule set, or in the checks.

# %%
quality_charts.trend(bench.quality_trend(days=DAYS))

# %% [markdown]
# ## Refused
#
# What is held in quarantine, by the element that broke a rule. `holovitals quarantine` lists each with what to do;
# after a rule set has been mended, `holovitals sync NAME --replay` takes them in without asking the vendor again.

# %%
quarantine = bench.quarantine()
quality_charts.refused(quarantine)

# %%
table(quarantine, nothing="Nothing is held in quarantine.")

# %% [markdown]
# ## Persons
#
# How many records a person has and how they were **joined**. *not joined* with many persons at several connections
# points to missing identifiers. Below: pairs that may be one person, for somebody to decide (`holovitals patients`).

# %%
table(bench.persons(), nothing="No person is known yet.")

# %%
table(bench.person_proposals(), nothing="No pair of records is proposed as one person.")

# %% [markdown]
# ## How complete it is
#
# Full comparisons of both sides: **missed** are changes that incremental reads had not brought, **absent** records that
# the vendor did not show any more. Shown are those that found something.

# %%
compared = bench.comparisons(days=DAYS, limit=1000)
told = compared[compared[["missed", "unsent", "absent"]].sum(axis=1) > 0]
none = f"{len(compared)} comparisons found nothing." if len(compared) else "The sides have not been compared in full yet."
table(told.drop(columns=["job_id"]), nothing=none)

# %% [markdown]
# `bench.quality()` has every check's newest result, `bench.sql("select * from quality_results")` every result there was.
