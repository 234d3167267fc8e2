"""The nouns every room shares: records, errors, secrecy, lifecycle, log. Standard library only."""
