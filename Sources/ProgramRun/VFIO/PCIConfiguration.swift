/// The configuration space of the accelerator's PCI function (PCI Local Bus 3.0, chapter 6): 256 bytes.
struct PCIConfiguration {
    /// Of no vendor that there is.
    static let (vendor, device): (UInt16, UInt16) = (0x7fee, 0x0001)
    /// A processing accelerator.
    static let classCode: UInt32 = 0x12_0000
    static let size = 256
    /// Where the capability of MSI-X lies.
    private static let msix = 0x40

    /// What software may change.
    private var writable = [UInt8](repeating: 0, count: size)
    private var bytes = ArgumentBytes([UInt8](repeating: 0, count: size))

    /// - Parameters:
    ///   - bars: bytes of BAR0 to BAR5, powers of two; 0: there is none.
    ///   - vectors: of MSI-X, whose table and pending bits lie in BAR0.
    init(bars: [UInt32], vectors: Int, table: UInt32, pending: UInt32) {
        bytes[word16: 0x00] = Self.vendor
        bytes[word16: 0x02] = Self.device
        bytes[word16: 0x06] = 0x10
        bytes[word32: 0x08] = Self.classCode << 8 | 1
        bytes[word16: 0x2c] = Self.vendor
        bytes[word16: 0x2e] = Self.device
        bytes[word8: 0x34] = UInt8(Self.msix)
        bytes[word8: Self.msix] = 0x11
        bytes[word16: Self.msix + 2] = UInt16(vectors - 1)
        bytes[word32: Self.msix + 4] = table
        bytes[word32: Self.msix + 8] = pending
        // Memory, bus master, interrupts off; cache line, latency; interrupt line; MSI-X on and masked.
        allow(0x04, [0x06, 0x04])
        allow(0x0c, [0xff, 0xff])
        allow(0x3c, [0xff])
        allow(Self.msix + 3, [0xc0])
        for (index, size) in bars.enumerated() where size > 0 {
            let mask = ~(size - 1)
            allow(0x10 + 4 * index, (0..<4).map { UInt8(truncatingIfNeeded: mask >> UInt32(8 * $0)) })
        }
    }

    private mutating func allow(_ offset: Int, _ bits: [UInt8]) {
        writable.replaceSubrange(offset..<offset + bits.count, with: bits)
    }

    func read(_ offset: Int, _ count: Int) -> [UInt8] { Array(bytes.bytes[offset..<offset + count]) }

    mutating func write(_ offset: Int, _ new: [UInt8]) {
        for (index, value) in new.enumerated() where offset + index < Self.size {
            let mask = writable[offset + index]
            bytes[word8: offset + index] = bytes[word8: offset + index] & ~mask | value & mask
        }
    }

    /// Whether the function may reach memory by itself (bus master).
    var mayReachMemory: Bool { bytes[word16: 0x04] & 4 != 0 }
}
