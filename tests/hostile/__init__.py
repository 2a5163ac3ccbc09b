"""Input as bad as it comes, as data: see ``corpus.CASES``."""
