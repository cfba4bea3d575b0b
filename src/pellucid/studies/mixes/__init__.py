"""Data mixes: levels of an axis, scores by group, findings of the report, a mixing law."""
