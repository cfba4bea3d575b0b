"""Does a model recover from an error planted in a worked answer?"""
