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
# # Conflicts, and what goes to the vendors
#
# Both sides may change the same record. What contradicts is merged or decided by policy where that is safe, and held
# for a person where it is not; `docs/conflicts.md` says by which rules. Here you see how much of that happened, what
# waits, and what stays different. Run the cells from top to bottom (*Run → Run All Cells*).
#
# Everything here is read from the newest finished **snapshot** of the warehouse. It names elements (`birthDate`) and
# counts them. Values and patients are not in it: to look at one conflict, use `holovitals conflicts show`.

# %%
from holovitals_pipelines.workbench import conflict_charts, open_workbench
from holovitals_pipelines.workbench.cards import conflict_cards
from holovitals_pipelines.workbench.tables import table

bench = open_workbench()

# %% [markdown]
# ## At a glance
#
# A green edge with ✓ means nothing to do. An orange edge with **!** means that a person should look: open conflicts
# hold their records as they are on both sides until somebody decides.

# %%
conflict_cards(bench.conflict_overview(), bench.headline())

# %% [markdown]
# ## What waits for a person
#
# Each point is an open conflict. Below the dashed line it is overdue: critical ones should be decided within four
# hours, high ones within a day, medium ones within a week.

# %%
conflict_charts.queue(bench.open_conflicts())

# %% [markdown]
# The most overdue first. `holovitals conflicts show` takes the beginning of a **conflict id**.

# %%
queue = bench.open_conflicts(limit=20)
shown = ["conflict_id", "connection", "resource_type", "type", "severity", "units", "open_hours", "due_in_hours"]
table(queue[shown], nothing="No conflict waits for a person.")

# %% [markdown]
# ## What contradicts
#
# Conflicts of the last 30 days by resource type and type of conflict. *Clean merges* are among them: both sides had
# changed, but not the same thing.

# %%
charted = bench.conflicts(days=30)
conflict_charts.conflicts(charted)

# %%
table(charted.head(15), nothing="No conflict was found in the last 30 days.")

# %% [markdown]
# The elements that contradict each other most often. One that leads week after week deserves a rule of its own, or a
# word with whoever enters it twice.

# %%
conflict_charts.contested(bench.contested_elements(days=30))

# %% [markdown]
# ## Who decides
#
# Nothing critical is ever decided by policy. The **automatic share** leaves clean merges out: it is the part of the
# contradictions that nobody had to look at. Hours are from detection to a person's decision.

# %%
conflict_charts.decisions(bench.decisions(days=30))

# %%
table(bench.decisions(days=30), nothing="No conflict was found in the last 30 days.")

# %% [markdown]
# ## What was written to the vendors
#
# A write is sent under the version it was decided on. *Superseded* ones were decided anew, because somebody had
# changed the record meanwhile; *failed* ones were refused by the vendor; **unguarded** ones went to a vendor that has
# no way to refuse a stale write.

# %%
conflict_charts.writes(bench.writes(days=30))

# %%
table(bench.writes(days=30), nothing="Nothing was to be written in the last 30 days.")

# %% [markdown]
# ## What stays different
#
# Elements in which the two sides differ and will go on differing, because the vendor's API takes no write there (or
# because writing is not allowed for the connection). A critical one is for a person to carry over by hand.

# %%
conflict_charts.standing(bench.standing_differences())

# %%
table(bench.standing_differences(), nothing="Both sides hold the same wherever they can.")

# %% [markdown]
# ## What the ordinary way had missed
#
# Both sides are compared in full now and then. **missed** counts changes at the vendor that incremental reads had not
# brought, **unsent** changes here that nothing had marked; both were brought in by the comparison. Numbers that keep
# coming are worth a question to the vendor.

# %%
table(bench.comparisons(days=30), nothing="The sides have not been compared in full in the last 30 days.")

# %% [markdown]
# To see newer jobs, run `bench.refresh()` in a cell of its own and then the cells above again.
# Each `bench.…()` above is a pandas frame to work with; `bench.sql("select …")` asks the snapshot anything else.
# `docs/analysts.md` describes the frames.
