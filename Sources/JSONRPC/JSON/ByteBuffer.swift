import Glibc

/// Growable raw bytes. At least `slack` bytes beyond `count` are always allocated, so that word-wise readers
/// may look past the end.
///
/// Owned by exactly one class that calls `deallocate()`; handed about by pointer, so that appending needs neither
/// reference counting nor exclusivity checks.
@usableFromInline
struct ByteBuffer {
    /// Bytes readable beyond the last one.
    static let slack = 16

    private(set) var base: UnsafeMutablePointer<UInt8>
    @usableFromInline var count = 0
    private(set) var capacity: Int

    init(capacity: Int) {
        self.capacity = capacity
        base = .allocate(capacity: capacity + Self.slack)
    }

    func deallocate() { base.deallocate() }

    var end: UnsafeMutablePointer<UInt8> { base + count }

    /// Makes room for `extra` more bytes.
    @inline(__always)
    mutating func reserve(_ extra: Int) {
        if capacity - count < extra { grow(extra) }
    }

    @inline(never)
    private mutating func grow(_ extra: Int) {
        let wanted = max(capacity * 2, count + extra)
        let larger = UnsafeMutablePointer<UInt8>.allocate(capacity: wanted + Self.slack)
        memcpy(larger, base, count)
        base.deallocate()
        base = larger
        capacity = wanted
    }

    @inline(__always)
    mutating func append(_ byte: UInt8) {
        reserve(1)
        base[count] = byte
        count &+= 1
    }

    @inline(__always)
    mutating func append(_ bytes: UnsafePointer<UInt8>, _ length: Int) {
        reserve(length)
        memcpy(base + count, bytes, length)
        count &+= length
    }

    @inline(__always)
    mutating func append(_ text: StaticString) {
        append(text.utf8Start, text.utf8CodeUnitCount)
    }

    /// Puts bytes before those from `index` on.
    mutating func insert(_ bytes: UnsafePointer<UInt8>, _ length: Int, at index: Int) {
        reserve(length)
        memmove(base + index + length, base + index, count - index)
        memcpy(base + index, bytes, length)
        count &+= length
    }

    /// Drops the first `length` bytes.
    mutating func removeFirst(_ length: Int) {
        count &-= length
        if count > 0 { memmove(base, base + length, count) }
    }

    /// Empties the buffer; gives memory back if an unusually large message had made it grow.
    mutating func clear(keepingAtMost limit: Int) {
        count = 0
        guard capacity > limit else { return }
        base.deallocate()
        base = .allocate(capacity: limit + Self.slack)
        capacity = limit
    }
}
