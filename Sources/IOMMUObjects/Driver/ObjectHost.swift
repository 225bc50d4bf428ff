import IOMMU

/// What an object model stands on besides its drivers: the machine's memory, and who is told what happens.
package protocol ObjectHost: AnyObject {
    /// Gives a memory object a place that hardware tables can map.
    ///
    /// - Parameter account: of the user whose it is.
    /// - Returns: where its first byte lies; the others follow without a gap.
    /// - Throws: `ENOMEM`, `EDQUOT`.
    func admit(_ memory: MemoryObject, for account: Account) throws(IOMMUError) -> UInt64
    /// The place is free again; nothing maps it.
    func dismiss(_ memory: MemoryObject, at location: UInt64, for account: Account)
    /// Faults of devices have been answered: what waited can go on.
    func faultsAnswered()
    /// Takes what happens without being asked for.
    func emit(_ event: BackendEvent)
    /// Where long work goes on, and what may block; nil: all is done at once.
    var longWork: (any WorkExecutor)? { get }
    /// What contexts are given while changes of them are written down or made again; nil: neither is done.
    var changeLedger: Ledger? { get }
    /// The driver of an IOMMU, by its name.
    func driver(named name: String) -> (any TranslationDriver)?
}

extension ObjectHost {
    /// Nowhere.
    package var longWork: (any WorkExecutor)? { nil }
    /// Neither.
    package var changeLedger: Ledger? { nil }
    /// None is known by its name.
    package func driver(named name: String) -> (any TranslationDriver)? { nil }
}
