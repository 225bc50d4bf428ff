import CLinux
import Glibc

/// Memory of the thread that makes a call. What is read is copied once; what is written goes to the thread that waits.
struct ThreadMemory {
    let call: StoppedCall
    let listener: CallListener

    /// The longest text that a path can be.
    private static let longestPath = 4096

    /// - Throws: `EFAULT`; `EINTR` if the call does not wait any more.
    func read(_ address: UInt64, count: Int) throws(Refusal) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let result = clinux_read_thread(call.thread, address, &bytes, count)
        guard listener.waits(call) else { throw Refusal(EINTR) }
        guard result == 0 else { throw Refusal(EFAULT) }
        return bytes
    }

    func word32(_ address: UInt64) throws(Refusal) -> UInt32 {
        ArgumentBytes(try read(address, count: 4))[word32: 0]
    }

    /// As ``read(_:count:)``.
    func write(_ address: UInt64, _ bytes: [UInt8]) throws(Refusal) {
        guard listener.waits(call) else { throw Refusal(EINTR) }
        guard clinux_write_thread(call.thread, address, bytes, bytes.count) == 0 else { throw Refusal(EFAULT) }
    }

    /// A text that ends with a byte of 0, page by page, since what follows may not be there. `ENAMETOOLONG`.
    func path(_ address: UInt64) throws(Refusal) -> String {
        var bytes: [UInt8] = []
        while bytes.count < Self.longestPath {
            let start = address &+ UInt64(bytes.count)
            let piece = try read(start, count: min(256, 4096 - Int(start & 0xfff)))
            if let end = piece.firstIndex(of: 0) {
                return String(decoding: bytes + piece[..<end], as: UTF8.self)
            }
            bytes += piece
        }
        throw Refusal(ENAMETOOLONG)
    }
}

/// A structure of the kernel's, as bytes: fields by their offsets.
struct ArgumentBytes {
    private(set) var bytes: [UInt8]

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    subscript(word8 offset: Int) -> UInt8 {
        get { offset < bytes.count ? bytes[offset] : 0 }
        set { if offset < bytes.count { bytes[offset] = newValue } }
    }

    subscript(word16 offset: Int) -> UInt16 {
        get { load(offset) }
        set { store(newValue, offset) }
    }

    subscript(word32 offset: Int) -> UInt32 {
        get { load(offset) }
        set { store(newValue, offset) }
    }

    subscript(word64 offset: Int) -> UInt64 {
        get { load(offset) }
        set { store(newValue, offset) }
    }

    /// Beyond the end there are zeros.
    private func load<Word: FixedWidthInteger>(_ offset: Int) -> Word {
        var word = Word.zero
        guard offset >= 0, offset + MemoryLayout<Word>.size <= bytes.count else { return word }
        withUnsafeMutableBytes(of: &word) { $0.copyBytes(from: bytes[offset..<offset + MemoryLayout<Word>.size]) }
        return word
    }

    private mutating func store<Word: FixedWidthInteger>(_ word: Word, _ offset: Int) {
        guard offset >= 0, offset + MemoryLayout<Word>.size <= bytes.count else { return }
        withUnsafeBytes(of: word) { bytes.replaceSubrange(offset..<offset + MemoryLayout<Word>.size, with: $0) }
    }
}
