"""Dagster, and nothing but Dagster: each op opens the engine, calls one use case and reports what came of it.

Law: what Dagster calls beta is used knowingly, with its version pinned; nobody who starts a demo is told of it.
"""

import warnings

warnings.filterwarnings("ignore", message=".* is currently in (beta|preview), and may have breaking changes")
