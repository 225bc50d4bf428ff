/// What the caches of an SMMU hold, and how they did.
package struct CacheDescription: Sendable {
    /// How one cache did.
    package struct Figures: Sendable {
        /// Look-ups that found an entry.
        package var hits: UInt64
        /// Look-ups that found none.
        package var misses: UInt64
        /// Entries that made room for others.
        package var evictions: UInt64
        /// Entries removed one by one.
        package var invalidations: UInt64

        /// With these properties.
        package init(hits: UInt64, misses: UInt64, evictions: UInt64, invalidations: UInt64) {
            (self.hits, self.misses, self.evictions, self.invalidations) = (hits, misses, evictions, invalidations)
        }
    }

    /// One translation in the TLB.
    package struct Entry: Sendable {
        /// 1: stage 1 or nested; 2.
        package var stage: Int
        /// nil without stage 2.
        package var vmid: UInt16?
        /// nil for global and stage 2 entries.
        package var asid: UInt16?
        /// First input byte.
        package var input: UInt64
        /// First output byte.
        package var output: UInt64
        /// Bytes.
        package var size: UInt64
        /// What unprivileged accesses may.
        package var attributes: TranslationAttributes
        /// A write has to mark the page dirty first.
        package var isWritableClean: Bool

        /// With these properties.
        package init(
            stage: Int, vmid: UInt16?, asid: UInt16?, input: UInt64, output: UInt64, size: UInt64,
            attributes: TranslationAttributes, isWritableClean: Bool
        ) {
            (self.stage, self.vmid, self.asid) = (stage, vmid, asid)
            (self.input, self.output, self.size) = (input, output, size)
            (self.attributes, self.isWritableClean) = (attributes, isWritableClean)
        }
    }

    /// How the TLB did.
    package var tlb: Figures
    /// How the STE cache did.
    package var streamTable: Figures
    /// How the CD cache did.
    package var contextDescriptors: Figures
    /// In the TLB.
    package var translations: [Entry]
    /// Whose STE is cached.
    package var streamIDs: [UInt32]
    /// Whose CD is cached, with its index in the table of the stream.
    package var contexts: [(streamID: UInt32, index: UInt32)]

    /// With these properties.
    package init(
        tlb: Figures, streamTable: Figures, contextDescriptors: Figures, translations: [Entry], streamIDs: [UInt32],
        contexts: [(streamID: UInt32, index: UInt32)]
    ) {
        (self.tlb, self.streamTable, self.contextDescriptors) = (tlb, streamTable, contextDescriptors)
        (self.translations, self.streamIDs, self.contexts) = (translations, streamIDs, contexts)
    }
}
