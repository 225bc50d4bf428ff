/// Sizes of the TLB and the configuration cache.
public struct CacheGeometry: Equatable, Sendable {
    /// Entries of the TLB, rounded up to a power of two (at least 16); nil never evicts.
    public var tlbEntries: Int?
    /// Entries of the STE and of the CD cache each, rounded up to a power of two (at least 4); nil never evicts.
    public var configurationEntries: Int?
    /// Whether invalid and ILLEGAL STEs and CDs are cached too, as the architecture permits (5.2.1).
    public var cachesIllegalConfiguration: Bool

    /// - Parameters:
    ///   - tlbEntries: TLB size, nil for one that grows and never evicts.
    ///   - configurationEntries: configuration cache size, nil for one that grows and never evicts.
    ///   - cachesIllegalConfiguration: whether an STE or CD that is no good stays cached until it is invalidated.
    public init(tlbEntries: Int?, configurationEntries: Int?, cachesIllegalConfiguration: Bool = false) {
        self.tlbEntries = tlbEntries
        self.configurationEntries = configurationEntries
        self.cachesIllegalConfiguration = cachesIllegalConfiguration
    }

    /// 4096 translations and 64 STEs and CDs.
    public static var standard: CacheGeometry { CacheGeometry(tlbEntries: 4096, configurationEntries: 64) }

    /// Nothing is forgotten but by invalidation: every missed invalidation shows.
    public static var neverEvicting: CacheGeometry {
        CacheGeometry(tlbEntries: nil, configurationEntries: nil, cachesIllegalConfiguration: true)
    }
}
