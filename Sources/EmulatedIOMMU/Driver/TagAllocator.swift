import IOMMU

/// Gives out ASIDs, VMIDs or PASIDs.
package protocol TagSource: AnyObject {
    /// - Parameter first: a lower one is not wanted.
    /// - Throws: `ENOSPC` when none is free; a tag is never shared.
    func take(from first: UInt32) throws(IOMMUError) -> UInt32
    /// - Returns: whether the tag was free and is now taken.
    func take(_ tag: UInt32) -> Bool
    /// Nothing happens to a tag that is free.
    func release(_ tag: UInt32)
}

extension TagSource {
    /// - Throws: `ENOSPC` when none is free; a tag is never shared.
    package func take() throws(IOMMUError) -> UInt32 { try take(from: 1) }

    /// As ``take(from:)``, by way of a ledger: what is to be given is given.
    ///
    /// - Throws: `ENOSPC`; `EIO` where what is to be given is taken.
    func give(_ kind: Ledger.Kind, _ ledger: Ledger?, from first: UInt32 = 1) throws(IOMMUError) -> UInt32 {
        guard let ledger, ledger.page != nil else { return try take(from: first) }
        guard let wanted = ledger.next(kind) else {
            let tag = try take(from: first)
            ledger.note(kind, UInt64(tag))
            return tag
        }
        let tag = UInt32(truncatingIfNeeded: wanted)
        guard take(tag) else {
            ledger.refuse()
            throw .taken("\(kind)", wanted)
        }
        ledger.note(kind, wanted)
        return tag
    }
}

/// What a ``TagAllocator`` gives out.
package enum TagKind: String {
    case asid = "ASID"
    case vmid = "VMID"
    case pasid = "PASID"

    /// The refusal when none is free.
    fileprivate var exhausted: Reason {
        switch self {
        case .asid: .asidExhausted
        case .vmid: .vmidExhausted
        case .pasid: .pasidExhausted
        }
    }
}

/// Lowest free first, bounded by what the ID registers allow.
package final class TagAllocator: TagSource {
    /// What is given out.
    package let kind: TagKind
    private let range: ClosedRange<UInt32>
    /// One bit per tag; grown as needed.
    private var words: [UInt64] = []
    /// No word before this one has a free bit.
    private var firstOpenWord = 0
    /// How many are given out.
    package private(set) var inUse = 0

    /// - Parameters:
    ///   - kind: What is given out, for refusals.
    ///   - bits: width of the tag, at most 20; tag 0 is never given out.
    package init(kind: TagKind, bits: Int) {
        self.kind = kind
        range = 1...max(1, (UInt32(1) << UInt32(min(max(bits, 1), 20))) - 1)
    }

    /// The lowest that is free from `first` on.
    ///
    /// - Throws: `ENOSPC` when none is; a tag is never shared.
    package func take(from first: UInt32) throws(IOMMUError) -> UInt32 {
        let start = Int(min(first, range.upperBound) / 64)
        var index = max(firstOpenWord, start)
        // Those below the first are as good as taken.
        var below = index == start ? (UInt64(1) << UInt64(first % 64)) - 1 : 0
        while index < words.count, words[index] | below == .max { (index, below) = (index + 1, 0) }
        if start <= firstOpenWord, below == 0 { firstOpenWord = index }
        // Tag 0 is taken for good.
        while words.count <= index { words.append(words.isEmpty ? 1 : 0) }
        let tag = UInt32(index * 64 + (~(words[index] | below)).trailingZeroBitCount)
        guard tag <= range.upperBound else {
            throw IOMMUError(
                .ENOSPC, kind.exhausted, "all \(range.count) \(kind.rawValue)s are in use",
                hint: "end an object that holds one", ["limit": .number(UInt64(range.count))]
            )
        }
        words[index] |= 1 << UInt64(tag % 64)
        inUse += 1
        return tag
    }

    /// Takes one tag.
    ///
    /// - Returns: false if it is taken, 0, or too wide.
    package func take(_ tag: UInt32) -> Bool {
        guard range.contains(tag) else { return false }
        let index = Int(tag / 64)
        while words.count <= index { words.append(words.isEmpty ? 1 : 0) }
        guard words[index] >> UInt64(tag % 64) & 1 == 0 else { return false }
        words[index] |= 1 << UInt64(tag % 64)
        inUse += 1
        return true
    }

    /// Gives a tag back; nothing happens to one that is free.
    package func release(_ tag: UInt32) {
        let index = Int(tag / 64)
        guard range.contains(tag), index < words.count, words[index] >> UInt64(tag % 64) & 1 == 1 else { return }
        words[index] &= ~(1 << UInt64(tag % 64))
        firstOpenWord = min(firstOpenWord, index)
        inUse -= 1
    }
}
