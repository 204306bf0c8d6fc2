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
# # Patient 360
#
# One person, whichever vendor tells of them: what happened, who agrees, where each value came from, what conflicts.
# Set `PATIENT` to a person's key or its beginning; `None` takes the person known at the most connections.
#
# **This notebook shows health data.** It reads the operational store, changes nothing, and each look is noted in the
# access log. Clear its outputs before you pass it on.

# %%
from holovitals_pipelines.workbench import record_charts
from holovitals_pipelines.workbench.record_desk import open_record_desk
from holovitals_pipelines.workbench.tables import table

PATIENT = None

desk = open_record_desk()
patient = desk.choose(PATIENT)
desk

# %% [markdown]
# ## Who there is
#
# Keys, not names. A person known at several **connections** was joined by identifiers or by somebody's decision
# (`docs/identity.md`); more **versions** than **records** means that something has changed.

# %%
table(desk.patients(limit=8), nothing="No person is known yet: run «holovitals demo», or «holovitals sync».")

# %% [markdown]
# ## The timeline
#
# Every record of the person, at the time it says it happened. The same event told by several vendors is a point in each
# of their colours, one below the other; a gap in one colour is something that vendor does not know, or does not tell.

# %%
timeline = desk.timeline(patient)
record_charts.timeline(timeline)

# %% [markdown]
# The newest of them.

# %%
newest = timeline.sort_values("happened", ascending=False).head(12)
table(newest.drop(columns=["record_id", "version"]), nothing="No record of a person yet.")

# %% [markdown]
# ## Who agrees
#
# What each connection tells of the person: ✓ as most do, ≠ something else, 1 nobody else tells it, grey does not tell it.
# Notation counts: *(555)577-3213* is not *555-577-3213*. What every vendor numbers for itself is left out.

# %%
sides = desk.side_by_side(patient)
record_charts.agreement(sides)

# %% [markdown]
# The elements in which they differ, in words.

# %%
apart = sides[sides.element.isin(sides[sides.agreement == "differs"].element)]
table(apart[["element", "connection", "value", "agreement"]], nothing="All that tell an element tell the same.")

# %% [markdown]
# ## Where each value came from
#
# Since which **version** of its record a value is as it is, who made it so and why, the latest first. A vendor's first
# reading is left out here; `desk.origins(patient)` has it too.

# %%
origins = desk.origins(patient)
table(
    origins[origins.version > 1].drop(columns=["record_id", "by"]),
    nothing="Every value is as its vendor told it first." if len(origins) else "No record of a person yet.",
)

# %% [markdown]
# ## What conflicts
#
# Places in which both sides had changed and contradicted each other, open ones first: what was **here**, what the
# **vendor** held, what was **chosen**, by whom. Open ones are decided in the review notebook or with
# `holovitals conflicts`.

# %%
conflicts = desk.conflicts(patient).drop(columns=["decided_at", "conflict_id"])
table(conflicts, nothing="No side has contradicted another about this person.")

# %% [markdown]
# To see how the records looked at an earlier moment, open `09_time_machine.ipynb` with the same `PATIENT`.
# `docs/analysts.md` describes the frames.
