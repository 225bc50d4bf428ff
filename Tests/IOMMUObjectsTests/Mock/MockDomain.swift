import IOMMU
import LinuxIO

@testable import IOMMUObjects

/// A hardware table as plain as can be: its leaves by their first address.
final class MockDomain: TranslationDomain {
    struct Leaf: Equatable {
        var size: UInt64
        var pa: UInt64
        var access: Access
        var isDirty = false
    }

    unowned let mock: MockDriver
    let flags: HWPTFlags
    private(set) var leaves: [UInt64: Leaf] = [:]
    /// Leaves that are unmapped, which devices may use until ``flush()``.
    private(set) var stale: [UInt64: Leaf] = [:]
    private var isTracking = false
    /// Where runs start that can be filled.
    private(set) var prepared: Set<UInt64> = []

    init(_ mock: MockDriver, _ flags: HWPTFlags) {
        self.mock = mock
        self.flags = flags
    }

    var stage: Int { flags.contains(.nestParent) ? 2 : 1 }
    var aperture: AddressRange { mock.aperture(stage: stage) }
    var pageSizes: UInt64 { MockDriver.pageSizes }

    // MARK: Mappings

    func map(
        iova: UInt64, pa: UInt64, length: UInt64, access: Access, hugePages: Bool
    ) throws(IOMMUError) {
        try mock.step()
        guard (iova | pa | length) & 4095 == 0, let range = AddressRange(start: iova, length: length),
            aperture.contains(range)
        else { throw IOMMUError(.EINVAL, .badRange, "no such range can be mapped", hint: "this is a test") }
        guard !leaves.contains(where: { $0.key <= range.last && iova <= $0.key &+ ($0.value.size &- 1) }) else {
            throw IOMMUError(.EEXIST, .badRange, "the object model maps twice", hint: "this is a test")
        }
        enter(iova: iova, pa: pa, length: length, access: access, hugePages: hugePages)
    }

    private func enter(iova: UInt64, pa: UInt64, length: UInt64, access: Access, hugePages: Bool) {
        var done: UInt64 = 0
        while done < length {
            let sizes: [UInt64] = hugePages ? [1 << 30, 2 << 20, 4096] : [4096]
            let size = sizes.first { ((iova &+ done) | (pa &+ done)) & ($0 - 1) == 0 && $0 <= length - done } ?? 4096
            leaves[iova &+ done] = Leaf(size: size, pa: pa &+ done, access: access)
            done += size
        }
    }

    func unmap(iova: UInt64, length: UInt64) {
        for (start, leaf) in leaves where start >= iova && start &- iova < length {
            leaves[start] = nil
            stale[start] = leaf
        }
    }

    func flush() { stale = [:] }

    // MARK: In pieces

    func prepare(run iova: UInt64, pa: UInt64, length: UInt64, hugePages: Bool) throws(IOMMUError) {
        try mock.step()
        prepared.insert(iova)
    }

    func withdraw(run iova: UInt64, pa: UInt64, length: UInt64, hugePages: Bool) { prepared.remove(iova) }

    func fill(run iova: UInt64, pa: UInt64, length: UInt64, access: Access, hugePages: Bool) {
        guard prepared.remove(iova) != nil else { preconditionFailure("what is filled was prepared") }
        enter(iova: iova, pa: pa, length: length, access: access, hugePages: hugePages)
    }

    func endPieces() { flush() }

    func giveBack(_ budget: inout TurnBudget) -> Bool { !budget.isSpent() }

    /// Takes a few steps.
    func dismantle(_ budget: inout TurnBudget) -> Bool {
        while !leaves.isEmpty {
            leaves.removeValue(forKey: leaves.keys.min() ?? 0)
            if budget.isSpent() { return false }
        }
        return true
    }

    /// What a device finds at an address; a write leaves the leaf dirty.
    func translate(_ address: UInt64, _ kind: AccessKind) -> UInt64? {
        for size in [4096, 2 << 20, 1 << 30] as [UInt64] {
            let start = address & ~(size - 1)
            guard var leaf = leaves[start] ?? stale[start], leaf.size == size else { continue }
            guard kind == .write ? leaf.access.allowsWriting : leaf.access.allowsReading else { return nil }
            if kind == .write, isTracking, leaves[start] != nil {
                leaf.isDirty = true
                leaves[start] = leaf
            }
            return leaf.pa + (address - start)
        }
        return nil
    }

    // MARK: Dirty tracking

    func setDirtyTracking(_ on: Bool) throws(IOMMUError) {
        isTracking = on
        if on { for start in leaves.keys { leaves[start]?.isDirty = false } }
    }

    func readDirty(
        iova: UInt64, length: UInt64, pageSize: UInt64, clear: Bool, into bitmap: inout [UInt8]
    ) throws(IOMMUError) -> UInt64 {
        var bits: UInt64 = 0
        for (start, leaf) in leaves where leaf.isDirty {
            let first = max(start, iova)
            let end = min(start + leaf.size, iova + length)
            guard first < end else { continue }
            for bit in (first - iova) / pageSize...(end - 1 - iova) / pageSize
            where bitmap[Int(bit / 8)] & 1 << UInt8(bit % 8) == 0 {
                bitmap[Int(bit / 8)] |= 1 << UInt8(bit % 8)
                bits += 1
            }
            if clear { leaves[start]?.isDirty = false }
        }
        return bits
    }

    func destroy() {
        mock.domains -= 1
    }
}
