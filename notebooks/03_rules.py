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
# # Rules, tried before they count
#
# A rule set says how a vendor's records become FHIR (`docs/rules.md`). Here you take the one that jobs use, change one
# rule as text, see what that does to real records, and keep the result as a new version. Run the cells from top to
# bottom (*Run → Run All Cells*), then change the cells marked **change this** and run them again.
#
# **This notebook shows health data** where records have landed: under *Before and after* you see whole records. Clear
# the outputs before you pass it on (*Edit → Clear Outputs of All Cells*). Nothing is written before you say so in the
# last cell, and no vendor is called.

# %%
from holovitals_pipelines.workbench import rule_charts, rule_trials
from holovitals_pipelines.workbench.rule_desk import open_rule_desk
from holovitals_pipelines.workbench.tables import table

desk = open_rule_desk()
desk

# %% [markdown]
# ## The rule sets there are
#
# Jobs use what is **active**; where no version is active for a vendor's records, what is **shipped**.

# %%
table(desk.rule_sets())

# %% [markdown]
# ## The one to work on
#
# **Change this:** the name of a rule set, alone or with a version (`nextgen/patient@1.0.0`). By its name you get the
# active version, else the shipped one. `desk.open_file("rules/patient.yml")` opens a file.

# %%
RULE_SET = "nextgen/patient"

old = desk.open(RULE_SET)
old

# %% [markdown]
# ## The records to try it on
#
# Records as the newest sync landed them, of `CONNECTION` or, without one, of any connection that has such records.
# Before anything has landed, the made-up records of the rule set's own examples.

# %%
CONNECTION = None
LIMIT = 200

records = desk.records(old, CONNECTION, LIMIT)
records

# %% [markdown]
# ## The rule
#
# **Change this:** which rule, by its name in errors. `old.text` is the whole rule set.

# %%
RULE = "gender_"

old.rule(RULE)

# %% [markdown]
# **Change this:** the rule as it should be. All other lines stay as they are, comments too, and the version is raised.
# A mistake is told with its line. For changes beyond one rule there is `desk.edited(old, text)`.

# %%
new = desk.with_rule(
    old,
    RULE,
    """
    id: gender_
    type: VALUE_MAPPING
    source: sex
    map: {M: male, F: female, U: unknown, O: other, X: other}
    ignoreCase: true
    target: gender
    """,
)
new

# %% [markdown]
# ## What the two versions say differently

# %%
table(rule_trials.changes(old, new), nothing="The rules are the same.")

# %% [markdown]
# ## Before and after
#
# The first records, what the old version makes of each, and what the new one does.

# %%
rule_trials.before_and_after(old, new, records, limit=2)

# %% [markdown]
# ## Errors by rule
#
# Of how many records the old and the new version find something wrong, and where. In strict mode such a record is
# rejected whole and waits in quarantine.

# %%
errors = rule_trials.errors(old, new, records)
table(errors, nothing="No rule found anything wrong.")

# %%
rule_charts.errors(errors)

# %% [markdown]
# ## What comes out otherwise
#
# Counted in records. A target that you did not mean to change should not be here.

# %%
table(rule_trials.effects(old, new, records))

# %% [markdown]
# ## The examples
#
# A rule set's own tests: made-up records, and what has to come of them.

# %%
table(rule_trials.examples(new), nothing="There are no examples: docs/rules.md shows how they are written.")

# %% [markdown]
# ## Keep it
#
# **Change this** when you are content: `SAVE = True` keeps the new version in the store, under your name.
# `ACTIVATE = True` lets the next jobs use it; `holovitals sync CONNECTION --replay` makes anew what has landed already.
# `holovitals rules deactivate` goes back to the shipped rule set.

# %%
SAVE = False
ACTIVATE = False
COMMENT = ""

desk.save(new, COMMENT, activated=ACTIVATE) if SAVE else f"{new.ready.name} is not saved: SAVE is False."
