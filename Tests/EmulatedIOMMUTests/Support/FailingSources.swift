import IOMMU

@testable import EmulatedIOMMU

/// Counts uses over several sources and refuses one of them.
final class FailurePoint {
    /// Uses before the refusal; nil never refuses.
    var remaining: Int?
    private(set) var hasFired = false

    func arm(after uses: Int) { (remaining, hasFired) = (uses, false) }
    func disarm() { remaining = nil }

    func use() throws(IOMMUError) {
        guard let left = remaining else { return }
        guard left > 0 else {
            (remaining, hasFired) = (nil, true)
            throw IOMMUError(.ENOMEM, "injected", "this use was chosen to fail")
        }
        remaining = left - 1
    }
}

/// A tag allocator that fails where it is told.
final class FailingTags: TagSource {
    private let base: any TagSource
    private let point: FailurePoint

    init(_ base: any TagSource, _ point: FailurePoint) {
        self.base = base
        self.point = point
    }

    func take() throws(IOMMUError) -> UInt32 {
        try point.use()
        return try base.take()
    }

    func take(_ tag: UInt32) -> Bool { base.take(tag) }
    func release(_ tag: UInt32) { base.release(tag) }
}
