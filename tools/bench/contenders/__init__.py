"""Programs that do the same work: photos from a bucket through Autoenhance into another. Each has ``run(job)``.

What a program of its kind loads before it begins, its module loads at its top; the rest counts as work.
"""
