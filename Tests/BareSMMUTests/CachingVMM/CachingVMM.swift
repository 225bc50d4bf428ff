import IOMMU

/// A VMM that keeps every translation it is given, and drops what it is told to drop: nothing else tells it anything.
struct CachingVMM {
    /// What it knows of a stream beside its number: who decodes the guest's tables knows the tags.
    struct Tags: Equatable {
        /// nil: stage 2 alone.
        var asid: UInt16?
        var vmid: UInt16
        /// Whether the leaf may be global: no ASID is sure to be its own.
        var isGlobal: Bool
    }

    struct Entry {
        let transaction: TransactionRequest
        let size: UInt64
        let output: UInt64
        let tags: Tags
    }

    /// Whether it goes by ASIDs and VMIDs; else what names one is for everything.
    let knowsTags: Bool
    /// For the test of the test: it believes that nothing ever changes.
    var isDeaf = false
    private var entries: [Entry] = []
    private(set) var hits = 0

    init(knowsTags: Bool) { self.knowsTags = knowsTags }

    /// Where an access goes; nil: the SMMU has to be asked.
    ///
    /// A translation answers for the kind of access that it was asked for.
    mutating func find(_ transaction: TransactionRequest) -> UInt64? {
        let found = entries.first { entry in
            var same = entry.transaction
            same.address = transaction.address
            return same == transaction
                && (entry.size == 0 || (entry.transaction.address ^ transaction.address) & ~(entry.size - 1) == 0)
        }
        guard let found else { return nil }
        hits += 1
        guard found.size != 0 else { return transaction.address }
        return found.output & ~(found.size - 1) | transaction.address & (found.size - 1)
    }

    mutating func keep(_ transaction: TransactionRequest, _ output: TranslationOutput, _ tags: Tags) {
        entries.append(
            Entry(transaction: transaction, size: output.pageSize, output: output.address, tags: tags))
    }

    mutating func hear(_ notices: [BareSMMUNotice]) {
        guard !isDeaf else { return }
        for case .invalidate(let invalidation) in notices {
            entries = entries.filter { !concerns($0, invalidation) }
        }
    }

    private func concerns(_ entry: Entry, _ invalidation: BareInvalidation) -> Bool {
        guard invalidation.ats == (entry.transaction.kind == .translationRequest) else { return false }
        if let streams = invalidation.streamIDs, !streams.contains(entry.transaction.streamID) { return false }
        if let substream = invalidation.substreamID, substream != entry.transaction.pasid { return false }
        if let addresses = invalidation.addresses, entry.size != 0 {
            let start = entry.transaction.address & ~(entry.size - 1)
            guard start <= addresses.upperBound, start + (entry.size - 1) >= addresses.lowerBound else { return false }
        }
        guard knowsTags else { return true }
        if let vmid = invalidation.vmid, vmid != entry.tags.vmid { return false }
        guard let asid = invalidation.asid else { return true }
        if entry.tags.isGlobal { return invalidation.scope == .range }
        return asid == entry.tags.asid
    }
}
