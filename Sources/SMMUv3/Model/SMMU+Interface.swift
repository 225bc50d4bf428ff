extension SMMU {
    /// Reads a register of page 0 or 1; unknown offsets read zero.
    public func readRegister(_ offset: UInt32, width: Int) throws(MMIOError) -> UInt64 { 0 }

    /// Writes a register of page 0 or 1; unknown and read-only offsets ignore it.
    ///
    /// All effects, commands included, are complete on return.
    public func writeRegister(_ offset: UInt32, width: Int, value: UInt64) throws(MMIOError) {}

    /// Translates a transaction for real: fills caches, updates tables (HTTU), records events, stalls.
    public func translate(_ transaction: Transaction) -> Translation { .terminated(.smmuDisabled) }

    /// What `translate` would answer, without any side effect.
    public func inspect(_ transaction: Transaction, trace: Bool) -> Inspection {
        Inspection(translation: translate(transaction), isCached: false)
    }

    /// The STE that a walk of the tables finds now, whatever is cached; nil if there is none.
    public func lookupSTE(streamID: UInt32) -> StreamTableEntry? { nil }

    /// The CD that a walk of the tables finds now, whatever is cached; nil if there is none.
    public func lookupCD(streamID: UInt32, substreamID: UInt32) -> ContextDescriptor? { nil }
}
