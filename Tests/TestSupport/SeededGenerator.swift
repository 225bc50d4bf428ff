/// Random numbers (SplitMix64) that are the same on every run and machine for the same seed.
package struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    /// A generator at the beginning of its sequence.
    package init(seed: UInt64) { state = seed }

    /// The next 64 bits.
    package mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }

    /// A number below `bound`; 0 if that is 0.
    package mutating func next<Number: FixedWidthInteger>(below bound: Number) -> Number {
        bound == 0 ? 0 : Number(truncatingIfNeeded: next() % UInt64(bound))
    }
}
