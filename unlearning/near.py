"""Near-duplicates: pairs of texts that have most of their runs of three words in common.

MinHash (Broder 1997) in bands finds the pairs that are worth a look; each is then compared exactly. A short one of our
own, because training runs where there is torch and transformers and nothing else.
"""

import re
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence

import torch

_RUN = 3  # words
_BANDS, _ROWS = (
    32,
    4,
)  # a pair of Jaccard index .7 is looked at with probability 1 - (1 - .7^4)^32 > .9998
_PRIME = (1 << 31) - 1
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
    buckets: dict[tuple[int, ...], list[int]] = defaultdict(list)
    seen: set[tuple[int, int]] = set()
    for here, own in enumerate(sets):
        signature = _signature(own)
        for band in range(_BANDS):
            bucket = buckets[band, *signature[band * _ROWS : (band + 1) * _ROWS]]
            for there in bucket:
                if (there, here) not in seen:
                    seen.add((there, here))
                    if len(own & sets[there]) >= least * len(own | sets[there]):
                        yield first[sets[there]], first[own]
            bucket.append(here)


def _runs(text: str) -> frozenset[int]:
    """32-bit sums of the runs of words; of a shorter text, of all its words."""
    words = _WORD.findall(text.casefold())
    count = max(1, len(words) - _RUN + 1)
    return frozenset(zlib.crc32(" ".join(words[n : n + _RUN]).encode()) for n in range(count))


def _signature(runs: frozenset[int]) -> list[int]:
    """The least value of each of 128 fixed hash functions over the runs."""
    fixed = torch.Generator().manual_seed(0)
    a, b = torch.randint(1, _PRIME, (2, _BANDS * _ROWS, 1), generator=fixed)
    values = torch.tensor(sorted(runs)) % _PRIME
    least: list[int] = ((a * values + b) % _PRIME).amin(1).tolist()
    return least
