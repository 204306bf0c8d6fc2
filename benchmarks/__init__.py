"""Resources per CPU-second and peak memory of the main job, beside baselines measured in the same run."""
