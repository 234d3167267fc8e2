"""Near-duplicates: pairs of texts that have most of their runs of three words in common.

Sets with a Jaccard index of t share one of the |x| - ceil(t |x|) + 1 first elements of each, in any order of all
elements (Bayardo, Ma & Srikant 2007). With the rarest first, texts that only have a form in common are never compared.
A short one of our own, because training runs where there is torch and transformers and nothing else.
"""

import math
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

_RUN = 3  # words
_WORD = re.compile(r"\w+")


def near_duplicates(texts: Sequence[str], least: float) -> Iterator[tuple[int, int]]:
    """Places (i, j), i < j, of texts whose sets of word runs have a Jaccard index of at least `least`.

    Of texts with equal runs only the neighbours in the list are paired, which is enough to bring all of them together.
    """
    first: dict[frozenset[int], int] = {}
    for place, text in enumerate(texts):
        found = _runs(text)
        if found in first:
            yield first[found], place
        else:
            first[found] = place
    sets = list(first)
    texts_with = Counter(run for own in sets for run in own)
    holders: dict[int, list[int]] = defaultdict(list)
    for here, own in enumerate(sets):
        rarest = sorted(own, key=lambda run: (texts_with[run], run))
        some = rarest[: len(own) - math.ceil(least * len(own) - 1e-9) + 1]  # a float may be above
        for there in {place for run in some for place in holders[run]}:
            if len(own & sets[there]) >= least * len(own | sets[there]):
                yield first[sets[there]], first[own]
        for run in some:
            holders[run].append(here)


def _runs(text: str) -> frozenset[int]:
    """32-bit sums of the runs of words; of a shorter text, of all its words."""
    words = _WORD.findall(text.casefold())
    count = max(1, len(words) - _RUN + 1)
    return frozenset(zlib.crc32(" ".join(words[n : n + _RUN]).encode()) for n in range(count))
