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
# # Review conflicts
#
# What contradicts and may not be decided automatically waits here for a person. Run the cells from top to bottom
# (*Run → Run All Cells*), then decide in the widget; `docs/review.md` says what each decision does.
#
# **The widget shows health data.** It asks the operational store for it, one conflict at a time, and keeps none of it in
# the notebook. Who acts is asked once, and kept with every decision.

# %%
from holovitals_pipelines.workbench.review_desk import open_review_desk
from holovitals_pipelines.workbench.review_widget import ReviewWidget
from holovitals_pipelines.workbench.tables import table

desk = open_review_desk()
desk

# %% [markdown]
# ## What waits

# %%
table(desk.waiting(), nothing="No conflict waits for a person.")

# %% [markdown]
# ## Decide
#
# Click into the list, then use the keys: `j` and `k` move, `1` to `7` choose a strategy, `l` and `r` a side of one unit,
# `e` writes a value of your own, `d` goes to the reason and Ctrl+Enter decides. `a` approves as a second person, `u` undoes,
# `b` decides like conflicts at once, `y` makes this a policy, `w` sends what is decided to the vendor now. `?` shows all.

# %%
ReviewWidget(desk)

# %% [markdown]
# ## What people decided
#
# Run this cell again after deciding. `written` is what became of the write to the vendor; without one, the vendor's side
# was right already, or the decision has not been applied yet.

# %%
table(desk.decided(limit=20), nothing="Nobody has decided anything yet.")
