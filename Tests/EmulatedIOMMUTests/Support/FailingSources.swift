import IOMMU

@testable import EmulatedIOMMU

/// How long a source fails.
enum FailureLength: CaseIterable {
    /// One use: whoever swallows the refusal goes on as if nothing had happened.
    case once
    /// That use and all that follow: whoever needs something to undo does not get it.
    case fromThenOn
}

/// Counts uses over several sources and refuses one of them, or all from one on.
final class FailurePoint {
    /// Uses before the refusal; nil never refuses.
    private(set) var remaining: Int?
    private(set) var hasFired = false
    private let length: FailureLength

    init(_ length: FailureLength = .once) { self.length = length }

    func arm(after uses: Int) { (remaining, hasFired) = (uses, false) }
    func disarm() { remaining = nil }

    func use() throws(IOMMUError) {
        guard let left = remaining else { return }
        guard left > 0 else {
            hasFired = true
            if length == .once { remaining = nil }
            throw IOMMUError(.ENOMEM, .injected, "this use was chosen to fail", hint: "this is a test")
        }
        remaining = left - 1
    }
}

/// Memory for tables that runs out where it is told.
final class FailingPages: PageSource {
    private let base: any PageSource
    private let point: FailurePoint

    init(_ base: any PageSource, _ point: FailurePoint) {
        self.base = base
        self.point = point
    }

    var range: AddressRange { base.range }

    func allocatePages(bytes: UInt64) throws(IOMMUError) -> UInt64 {
        try point.use()
        return try base.allocatePages(bytes: bytes)
    }

    func freePages(_ address: UInt64, bytes: UInt64) { base.freePages(address, bytes: bytes) }
    func pointer(_ tableAddress: UInt64) -> UnsafeMutableRawPointer { base.pointer(tableAddress) }
}

/// A tag allocator that fails where it is told.
final class FailingTags: TagSource {
    let base: any TagSource
    private let point: FailurePoint

    init(_ base: any TagSource, _ point: FailurePoint) {
        self.base = base
        self.point = point
    }

    func take(from first: UInt32) throws(IOMMUError) -> UInt32 {
        try point.use()
        return try base.take(from: first)
    }

    func take(_ tag: UInt32) -> Bool { base.take(tag) }
    func release(_ tag: UInt32) { base.release(tag) }
}
