import IOMMU

/// One range of addresses and the bytes of a memory object behind it: a mapping of an IOAS, an area of an address
/// space, a range of guest memory.
package struct Area: Equatable {
    /// First byte and, inclusive, the last.
    package var start: UInt64
    /// Last byte, inclusive.
    package var last: UInt64
    /// Where in the memory object the range begins.
    package var offset: UInt64
    /// Id in the context's table, or a number in ``AreaObjects``; a memory object outlives its mappings.
    package var memory: ObjectID
    /// What devices may do there.
    package var access: Access
    /// Whether the memory was first mapped for writing: copies of a copy may then be writable again, whatever the copy
    /// between is (`pages->writable`).
    package var isSourceWritable: Bool
    /// In an address space: the pages are there before a device touches them.
    package var isPopulated: Bool

    /// - Parameter isSourceWritable: nil: as `access` says, for a mapping that is no copy.
    package init(
        start: UInt64, last: UInt64, offset: UInt64, memory: ObjectID, access: Access, isSourceWritable: Bool? = nil,
        isPopulated: Bool = false
    ) {
        self.start = start
        self.last = last
        self.offset = offset
        self.memory = memory
        self.access = access
        self.isSourceWritable = isSourceWritable ?? access.allowsWriting
        self.isPopulated = isPopulated
    }

    /// Whether its addresses and its place in the memory object are multiples of a power of two.
    func isMultiple(of alignment: UInt64) -> Bool { (start | length | offset) & (alignment - 1) == 0 }

    /// Bytes; 0 stands for the whole 64-bit space.
    package var length: UInt64 { last &- start &+ 1 }
}
