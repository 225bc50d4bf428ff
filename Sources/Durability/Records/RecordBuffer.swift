import Glibc

/// Bytes of records that are to be written.
///
/// A record is its length, the checksum of what it says, the checksum of these two, each 32 bits, and what it says. All
/// numbers are little-endian; most are written in as many bytes as they need, seven bits a byte.
package final class RecordBuffer {
    private(set) var base: UnsafeMutablePointer<UInt8>
    private var capacity: Int
    /// Bytes in it.
    private(set) var count = 0
    /// Bytes before what a record says.
    static let headBytes = 12
    /// A buffer that has held more is given back once it is empty.
    private static let usualCapacity = 64 << 10

    init() {
        capacity = 4096
        base = .allocate(capacity: capacity)
    }

    deinit { base.deallocate() }

    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

    func removeAll() {
        count = 0
        guard capacity > Self.usualCapacity else { return }
        base.deallocate()
        capacity = 4096
        base = .allocate(capacity: capacity)
    }

    /// Takes back what was written behind a place.
    func cut(to place: Int) { count = place }

    @inline(__always)
    private func reserve(_ bytes: Int) {
        if count &+ bytes > capacity { grow(bytes) }
    }

    @inline(never)
    private func grow(_ bytes: Int) {
        let wanted = max(2 * capacity, count + bytes)
        let larger = UnsafeMutablePointer<UInt8>.allocate(capacity: wanted)
        larger.update(from: base, count: count)
        base.deallocate()
        (base, capacity) = (larger, wanted)
    }

    // MARK: Records

    /// Begins a record. - Returns: where.
    func begin() -> Int {
        reserve(Self.headBytes)
        defer { count &+= Self.headBytes }
        return count
    }

    /// Ends the record that began there.
    func end(_ start: Int) {
        let length = count &- start &- Self.headBytes
        let sum = CRC32C.sum(UnsafeRawBufferPointer(start: base + start + Self.headBytes, count: length))
        let head = UnsafeMutableRawPointer(base + start)
        head.storeBytes(of: UInt32(truncatingIfNeeded: length).littleEndian, as: UInt32.self)
        head.storeBytes(of: sum.littleEndian, toByteOffset: 4, as: UInt32.self)
        let check = CRC32C.sum(UnsafeRawBufferPointer(start: head, count: 8))
        head.storeBytes(of: check.littleEndian, toByteOffset: 8, as: UInt32.self)
    }

    // MARK: Values

    @inline(__always)
    func put(byte: UInt8) {
        reserve(1)
        base[count] = byte
        count &+= 1
    }

    @inline(__always)
    func put(_ value: UInt64) {
        reserve(10)
        var rest = value
        while rest >= 0x80 {
            base[count] = UInt8(truncatingIfNeeded: rest) | 0x80
            count &+= 1
            rest &>>= 7
        }
        base[count] = UInt8(truncatingIfNeeded: rest)
        count &+= 1
    }

    @inline(__always)
    func put(_ value: UInt32) { put(UInt64(value)) }

    func put(_ flag: Bool) { put(byte: flag ? 1 : 0) }

    /// 0 for none.
    func put(_ value: UInt32?) { put(value.map { UInt64($0) + 1 } ?? 0) }

    func put(_ text: String) {
        var text = text
        text.withUTF8 { utf8 in
            put(UInt64(utf8.count))
            put(raw: UnsafeRawBufferPointer(utf8))
        }
    }

    func put(_ text: String?) {
        put(text != nil)
        if let text { put(text) }
    }

    func put(raw bytes: UnsafeRawBufferPointer) {
        reserve(bytes.count)
        if let start = bytes.baseAddress { memcpy(base + count, start, bytes.count) }
        count &+= bytes.count
    }
}
