"""The sync kernel: detect, merge, grade, resolve, decide. Pure: clock, store and transport are its callers' business."""
