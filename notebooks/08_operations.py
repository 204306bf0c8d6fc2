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
# # Jobs and webhooks
#
# Is anything stuck, and where does the time go? Jobs wait in a queue until a worker takes them; webhook events are kept
# the moment they arrive and become jobs. Both are tried again where an error may pass, and given up where it may not.
#
# `DAYS` is how far to look back; `None` is everything. Everything is read from the newest **snapshot** of the warehouse:
# no health data. For this very moment, ask `holovitals jobs list` and `holovitals webhooks events`.

# %%
from holovitals_pipelines.workbench import open_workbench, operation_charts
from holovitals_pipelines.workbench.cards import operations_cards
from holovitals_pipelines.workbench.tables import table

DAYS = 30

bench = open_workbench()
operations_cards(bench.operations_overview(), bench.headline())

# %% [markdown]
# ## The queue
#
# What has not ended: those at work first, then by priority and wait. A job that waits rises in priority with time, so
# none waits for ever; only one job works at a connection at a time.

# %%
table(bench.job_queue(), nothing="Nothing waits and nothing is under way.")

# %% [markdown]
# ## Where the time goes
#
# The mean job of each connection and type, from the asking to the end: it **waits to begin** (for a worker, or for
# another job of its connection), **works** in its stages, and spends **everything else** on the vendor's pauses, waits
# between attempts, checks and book-keeping. Orange bars ask for another worker, blue ones for `01_sync_overview.ipynb`.

# %%
parts = bench.job_parts(days=DAYS)
operation_charts.parts(parts)

# %%
shown = ["connection", "type", "jobs", "retried", "waited_p95_seconds", "lasted_p50_seconds", "lasted_p95_seconds"]
table(parts[shown], nothing="No job has ended yet: run «holovitals demo», or «holovitals sync».")

# %% [markdown]
# ## How jobs end
#
# *completed after a retry* cost time and nothing else. The table says why others failed, and `holovitals jobs retry`
# tries one again.

# %%
endings = bench.job_endings(days=DAYS)
operation_charts.endings(endings)

# %%
table(endings[endings.ending != "completed"], nothing="No job has failed, been cancelled or needed a retry.")

# %% [markdown]
# ## Webhook events
#
# By type and what became of them. *IGNORED* ones are kept and counted, and nothing was done. **repeats** are deliveries of
# an event that was there already; **altered** ones had another body under the same id, which is worth a question to the
# vendor.

# %%
events = bench.webhook_events(days=DAYS)
operation_charts.events(events)

# %%
table(events.head(20), nothing="No webhook event has come in yet: docs/webhooks.md says how to register one.")

# %% [markdown]
# ## Dead letters
#
# Events that were given up, kept with their bytes. Once the cause is mended, `holovitals webhooks replay NAME` with `--since`
# and `--until` plays them again.

# %%
table(bench.dead_letters(days=None), nothing="No event has been given up.")

# %% [markdown]
# `docs/jobs.md` and `docs/webhooks.md` say what each status means; `docs/analysts.md` describes the frames.
