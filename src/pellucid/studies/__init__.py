"""Studies: many small runs of one recipe that are made to be compared, and what can be said of them. No torch."""
