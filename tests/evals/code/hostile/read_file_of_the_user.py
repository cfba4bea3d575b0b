"""Reads a file of the user's by its path."""
# control

print(open(TARGET["secret_file"]).read())
