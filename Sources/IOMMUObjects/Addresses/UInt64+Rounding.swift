extension UInt64 {
    /// The smallest power of two that is not below it, at most 2⁶³; 0 and 1 become 1.
    package var roundedUpToPowerOfTwo: UInt64 { self <= 1 ? 1 : 1 << UInt64(64 - (self - 1).leadingZeroBitCount) }
}
