import IOMMU

/// What a context waits for, by the numbers that its callers know.
final class PendingOperations {
    private var endings: [AccessID: (IOMMUError) -> Void] = [:]

    /// - Parameter end: ends the operation with an error; called at most once.
    func add(_ id: AccessID, end: @escaping (IOMMUError) -> Void) { endings[id] = end }

    /// Nobody has ended the operation, nor has it by itself.
    func isPending(_ id: AccessID) -> Bool { endings[id] != nil }

    /// The operation has ended by itself.
    ///
    /// - Returns: false if somebody has ended it before.
    @discardableResult
    func finish(_ id: AccessID) -> Bool { endings.removeValue(forKey: id) != nil }

    /// Ends an operation; nothing happens if it has ended.
    func terminate(_ id: AccessID, with error: IOMMUError) { endings.removeValue(forKey: id)?(error) }

    func terminateAll(with error: IOMMUError) {
        for id in endings.keys.sorted() { terminate(id, with: error) }
    }
}
