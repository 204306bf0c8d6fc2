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
# # Time machine
#
# Every version of every record is kept, and every change has an entry in the audit log. So two questions have exact
# answers: *what did we know at a moment*, and *what changed between two runs, by whom and why*.
#
# `PATIENT` and `AT` choose whom and when (`"2026-03-10 12:00"`, UTC); `None` is the person known at the most
# connections, just before the last change. `FROM_JOB` and `TO_JOB` are jobs' ids or their beginnings; `None` is from the
# end of the first job of the connection that came last, to the newest job.
#
# **The first half shows health data**, and each look is noted in the access log. Nothing is changed.

# %%
from holovitals_pipelines.workbench import record_charts
from holovitals_pipelines.workbench.record_desk import open_record_desk
from holovitals_pipelines.workbench.tables import table

PATIENT = None
AT = None
FROM_JOB = None
TO_JOB = None

desk = open_record_desk()
patient = desk.choose(PATIENT)
at = AT or desk.last_change(patient)
desk

# %% [markdown]
# ## What we knew, and when
#
# Records known of the person, by connection. The dashed line is the moment that is looked at below. Who is one person is
# taken as it is decided now.

# %%
record_charts.known(desk.known(patient), at)

# %% [markdown]
# ## Then and now
#
# Elements in which a record of the person is another now than it was at that moment, with who made the newest version
# and why.

# %%
then_and_now = desk.then_and_now(patient, at)
table(
    then_and_now.drop(columns=["record_id", "by"]),
    nothing="Every record of this person that was known at that moment is still as it was.",
)

# %% [markdown]
# Every change of these records after their first reading, the latest first.

# %%
history = desk.history(patient)
shown = ["at", "resource_type", "before_version", "after_version", "why", "actor", "strategy"]
later = history[history.before_version > 0].sort_values("seq", ascending=False)
table(later[shown].head(20), nothing="Nothing of this person has changed since it was first read.")

# %% [markdown]
# One version whole, as exact JSON: `holovitals records show RECORD --version N`. To make it the next version:
# `holovitals records restore`; nothing is taken out of the history.
#
# ## What changed between two runs
#
# From here on no content is shown: types, versions, actors, reasons.

# %%
between = desk.between(FROM_JOB, TO_JOB)
changes = desk.changes(between)
record_charts.changes(changes)

# %%
record_charts.history(changes)

# %% [markdown]
# What people and policies did in that time. **why** names the decision, **strategy** how a conflict was decided.

# %%
decided = changes[changes.by != "vendor"].sort_values("seq", ascending=False)
table(decided[shown].head(20), nothing="Between these runs only vendors changed anything, or nobody did.")

# %% [markdown]
# The jobs to choose from.

# %%
table(desk.jobs(limit=10), nothing="No job has completed yet: run «holovitals demo», or «holovitals sync».")

# %% [markdown]
# ## Play it again
#
# What was read is kept as it was read. When rules have changed, what has landed can be transformed again without asking
# the vendor:
#
# ```sh
# holovitals sync CONNECTION --replay
# ```
#
# A replay brings nothing back: records that somebody has changed since are left alone, and the next sync reads them.
# It is a job like any other, so its changes show up above.
