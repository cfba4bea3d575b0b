"""The page of a study: sections for its axes, its analyses, its runs."""
