import Glibc
import IOMMU
import Synchronization

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
    let base: any TagSource
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

/// A kernel that refuses to open a file of a process where it is told.
final class FailingProcessFiles: ProcessFiles {
    private let kernel = KernelProcessFiles()
    /// Uses before the refusal; nil never refuses.
    private let remaining = Mutex<Int?>(nil)

    func arm(after uses: Int) { remaining.withLock { $0 = uses } }
    func disarm() { remaining.withLock { $0 = nil } }

    private var isRefused: Bool {
        remaining.withLock { remaining in
            guard let left = remaining else { return false }
            remaining = left > 0 ? left - 1 : nil
            return left == 0
        }
    }

    func open(_ path: String, _ flags: Int32) -> Int32 { isRefused ? -EACCES : kernel.open(path, flags) }

    func open(_ path: String, _ flags: Int32, as client: ClientIdentity) -> Int32 {
        isRefused ? -EACCES : kernel.open(path, flags, as: client)
    }

    func read(_ path: String) -> String? { isRefused ? nil : kernel.read(path) }
}
