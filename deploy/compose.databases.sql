-- Dagster's history, beside the operational store and never in it.
CREATE DATABASE dagster;
