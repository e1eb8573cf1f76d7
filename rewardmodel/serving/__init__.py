"""Scores for other processes: `serve_scores` keeps reward models warm, web processes ask it over a socket.

Not through the broker: that would write every image to disk, and nobody would learn of a scorer's death, or
of a client's, before a time limit. A broken connection tells both at once; a scorer knows its own queue.
Neither side needs the database; torch is imported by the first request that a scorer gets.
"""
