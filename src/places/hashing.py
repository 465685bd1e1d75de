"""All randomness: hashes of integers. No state to save, no change with releases of numpy."""

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]

_GOLDEN = 0x9E3779B97F4A7C15  # 2**64 divided by the golden ratio: the step of SplitMix64
_MASK = (1 << 64) - 1


def hash_of(*parts: int) -> int:
    """Return a 64-bit hash of integers, used as a seed that depends on all of them."""
    value = 0
    for part in parts:
        mixed = mix(np.array([(value ^ part) + _GOLDEN & _MASK], dtype=np.uint64))
        value = int(mixed[0])
    return value


def shuffled(num: int, seed: int) -> Ids:
    """Return a permutation of `0..num-1` as int64: the order of the hashes of the positions."""
    positions = np.arange(num, dtype=np.uint64)
    keys = mix(positions + np.uint64(hash_of(seed)))
    # The low bits of each hash give way to its position. Sorting such numbers is five times as fast
    # as sorting positions by their hashes, and leaves no ties to the sorting algorithm.
    num_bits = np.uint64(num.bit_length())
    keys >>= num_bits
    keys <<= num_bits
    keys |= positions
    keys.sort()
    keys &= (np.uint64(1) << num_bits) - np.uint64(1)
    return keys.view(np.int64)


def uniforms(ids: Ids, num: int, *seed: int) -> npt.NDArray[np.float64]:
    """Return `(len(ids), num)` numbers in [0, 1) that depend on nothing but `seed` and each id."""
    base = np.uint64(hash_of(*seed))
    keys = mix(ids.astype(np.uint64) + base)[:, None]
    steps = np.arange(1, num + 1, dtype=np.uint64) * np.uint64(_GOLDEN)
    return (mix(keys + steps) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def mix(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Hash each number in place: the output function of SplitMix64.

    It is variant 13 of Stafford's mixers (Steele, Lea, Flood: Fast Splittable Pseudorandom Number
    Generators, 2014).
    """
    # In place, because copies of 8 million numbers take time and memory.
    values ^= values >> np.uint64(30)
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values
