/// A circular queue as its base register describes it (3.5.1).
struct QueueGeometry {
    let base: UInt64
    /// log2 of the entries.
    let log2Size: UInt32
    let entryBytes: UInt64

    /// - Parameters:
    ///   - register: value of the base register.
    ///   - limit: largest log2 size that is implemented.
    ///   - entryBytes: bytes of an entry.
    ///   - OAS: output address size, which the base is truncated to.
    init(register: UInt64, limit: UInt32, entryBytes: UInt64, OAS: Int) {
        log2Size = min(UInt32(truncatingIfNeeded: register & 0x1f), limit)
        self.entryBytes = entryBytes
        let bytes = max(entryBytes << UInt64(log2Size), 32)
        base = register & BaseRegister.queueAddress & ((1 << UInt64(OAS)) - 1) & ~(bytes - 1)
    }

    /// Mask of index and wrap bit.
    var mask: UInt32 { (2 << log2Size) - 1 }

    /// Address of the entry that an index points at.
    func address(_ index: UInt32) -> UInt64 {
        base + UInt64(index & (mask >> 1)) * entryBytes
    }

    /// The index after this one, with the wrap bit toggled at the end; bits outside it are kept.
    func advance(_ index: UInt32) -> UInt32 {
        index & ~QueueIndex.index | (index &+ 1) & mask
    }

    func isEmpty(producer: UInt32, consumer: UInt32) -> Bool {
        (producer ^ consumer) & mask == 0
    }

    func isFull(producer: UInt32, consumer: UInt32) -> Bool {
        (producer ^ consumer) & mask == 1 << log2Size
    }
}
