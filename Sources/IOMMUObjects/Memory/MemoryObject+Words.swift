import CLinux

/// Single words of client memory: what table walks, queues and message-signalled interrupts touch.
extension MemoryObject {
    /// One atomic load at a multiple of 8; nil where nothing is.
    @inline(__always)
    package func load64(offset: UInt64) -> UInt64? {
        guard offset <= size, 8 <= size &- offset, offset & 7 == 0 else { return nil }
        if let pointer { return clinux_load64(pointer + Int(offset)) }
        var value: UInt64 = 0
        return withUnsafeMutableBytes(of: &value) { copyOut(offset: offset, into: $0) } ? value : nil
    }

    /// One atomic store at a multiple of 8; false where nothing is or nothing may be written.
    @inline(__always)
    package func store64(offset: UInt64, _ value: UInt64) -> Bool {
        guard offset <= size, 8 <= size &- offset, offset & 7 == 0, isWritable else { return false }
        if let pointer {
            clinux_store64(pointer + Int(offset), value)
            return true
        }
        return withUnsafeBytes(of: value) { copyIn(offset: offset, from: $0) }
    }

    /// One atomic store at a multiple of 4; false where nothing is or nothing may be written.
    package func store32(offset: UInt64, _ value: UInt32) -> Bool {
        guard offset <= size, 4 <= size &- offset, offset & 3 == 0, isWritable else { return false }
        if let pointer {
            clinux_store32(pointer + Int(offset), value)
            return true
        }
        return withUnsafeBytes(of: value) { copyIn(offset: offset, from: $0) }
    }

    /// Whether the word was `expected` and is `desired` now; nil where nothing is or nothing may be written.
    ///
    /// Atomic where the memory is mapped. A file that can shrink offers no atomic update: a client that races with
    /// the device in such memory may lose an update, as it may lose the memory.
    package func compareExchange64(offset: UInt64, expected: UInt64, desired: UInt64) -> Bool? {
        guard offset <= size, 8 <= size &- offset, offset & 7 == 0, isWritable else { return nil }
        if let pointer { return clinux_cas64(pointer + Int(offset), expected, desired) }
        guard let current = load64(offset: offset) else { return nil }
        guard current == expected else { return false }
        return store64(offset: offset, desired) ? true : nil
    }
}
