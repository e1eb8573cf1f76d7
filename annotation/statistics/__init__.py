"""Statistics of people's answers: plain numpy, no Django, no database.

Letters: n prompts of a panel, R opinions on each, K images, P pairs of images, B resamples.
"""
