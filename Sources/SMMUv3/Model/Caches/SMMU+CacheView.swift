/// What the caches hold, for people.
public struct CacheView: Sendable {
    /// One translation in the TLB.
    public struct Entry: Equatable, Sendable {
        /// 1 for stage 1 and nested entries, 2 for stage 2.
        public let stage: Int
        /// VMID, nil in the EL2 regimes or without stage 2.
        public let vmid: UInt16?
        /// ASID, nil for global and stage 2 entries.
        public let asid: UInt16?
        /// First input byte.
        public let input: UInt64
        /// First output byte.
        public let output: UInt64
        /// Bytes mapped.
        public let size: UInt64
        /// What it permits unprivileged accesses, over both stages.
        public let unprivileged: OutputAttributes
        /// What it permits privileged accesses, over both stages.
        public let privileged: OutputAttributes
        /// A write has to mark the page dirty first.
        public let isWritableClean: Bool
    }

    /// TLB hits, misses, evictions and single removals.
    public let tlb: CacheStatistics
    /// The same of the STE cache.
    public let streamTable: CacheStatistics
    /// The same of the CD cache.
    public let contextDescriptors: CacheStatistics
    /// The translations that a look-up can still find.
    public let translations: [Entry]
    /// The StreamIDs whose STE is cached.
    public let streamIDs: [UInt32]
    /// The StreamIDs and table indices whose CD is cached.
    public let contexts: [(streamID: UInt32, index: UInt32)]
}

extension SMMU {
    /// The caches as they are; at most `limit` translations.
    public func cacheView(limit: Int = .max) -> CacheView {
        var owners: [UInt64: (stage: Int, machine: Int, asid: UInt16?)] = [:]
        for machine in spaces.machines.indices {
            owners[spaces.stage2Tag(machine: machine)] = (2, machine, nil)
            owners[spaces.globalTag(machine: machine, ASET: false)] = (1, machine, nil)
            owners[spaces.globalTag(machine: machine, ASET: true)] = (1, machine, nil)
        }
        for space in spaces.spaces.indices {
            let asid = spaces.spaces[space].asid
            owners[spaces.tag(space: space)] = (1, spaces.spaces[space].machine, asid)
        }
        var translations: [CacheView.Entry] = []
        func add(_ entry: TLBEntry) {
            if translations.count < limit, let owner = owners[entry.tag] {
                translations.append(view(entry, owner.stage, owner.machine, owner.asid))
            }
        }
        tlb.forEach(add)
        walks.forEach(add)
        let contexts = contextDescriptors.entries.map {
            (streamID: UInt32(truncatingIfNeeded: $0.key >> 20), index: UInt32($0.key & 0xf_ffff))
        }
        return CacheView(
            tlb: tlb.statistics, streamTable: streamEntries.statistics,
            contextDescriptors: contextDescriptors.statistics, translations: translations,
            streamIDs: streamEntries.entries.map { UInt32(truncatingIfNeeded: $0.key) }, contexts: contexts)
    }

    private func view(_ entry: TLBEntry, _ stage: Int, _ machine: Int, _ asid: UInt16?) -> CacheView.Entry {
        let owner = spaces.machines[machine]
        let size: UInt64 = 1 << entry.log2Size
        func attributes(privileged: Bool) -> OutputAttributes {
            OutputAttributes(
                packed: UInt32(
                    truncatingIfNeeded: TLBAttributes.half(entry.attributes, privileged: privileged) & 0x1fff))
        }
        return CacheView.Entry(
            stage: stage, vmid: owner.world == .NS_EL1 && features.stage2 ? owner.vmid : nil,
            asid: owner.world == .NS_EL2 ? nil : asid, input: entry.page & ~(size - 1),
            output: entry.output & ~TLBEntry.flags, size: size, unprivileged: attributes(privileged: false),
            privileged: attributes(privileged: true),
            isWritableClean: entry.permissions & TLBPermissions.writableClean != 0)
    }

    // MARK: Trace

    /// The events recorded in the queue, numbered from 1.
    public var events: TraceRing<EventRecord> { eventTrace }
}
